"""The documentation's page: it contains the whole document and loads nothing from elsewhere."""

import inspect
import json
import re
from dataclasses import fields
from html.parser import HTMLParser

import pytest
import yaml

from crm_export.exports.model import next_step
from local.docs import page
from local.host.processes import REPOSITORY
from zoho_simulator.config import SimulatorConfig
from zoho_simulator.faults import Fault, parse_fault


class Elements(HTMLParser):
    """The start tags of a page with their attributes, and the contents of its style and script elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.tags and data.strip():
            self.contents.setdefault(self.tags[-1][0], []).append(data)


def test_readme_lists_every_parameter_of_the_template() -> None:
    template = (REPOSITORY / "template.yaml").read_text()
    parameters = template.partition("\nParameters:\n")[2].partition("\nRules:\n")[0]
    table = (REPOSITORY / "README.md").read_text().partition("\n## Configuration\n")[2].partition("\n## ")[0]
    first_columns = "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))
    names = re.findall(r"^  (\w+):$", parameters, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", first_columns)) == sorted(names)


def test_design_has_the_rows_of_next_step_in_the_same_order() -> None:
    design = (REPOSITORY / "docs/design.md").read_text()
    table = design.partition("### The next step")[2].partition("The step decides")[0]
    rows = re.findall(r"^\| \d+ \|.*\| ([A-Z]+) \|[^|]*\|$", table, re.MULTILINE)
    assert rows == re.findall(r"return Step\.(\w+)", inspect.getsource(next_step))


@pytest.fixture(scope="module")
def elements() -> Elements:
    return Elements(page())


def test_simulator_accepts_every_fault_and_setting_of_its_page() -> None:
    text = (REPOSITORY / "docs/simulator.md").read_text()
    orders = re.findall(r"-X (POST|PATCH) \"\$ZOHO/__sim__/(faults|config)\" -d '(.+?)'", text, re.DOTALL)
    assert len(orders) >= 10
    for _, kind, document in orders:
        if kind == "faults":
            parse_fault(json.loads(document))
        else:
            SimulatorConfig().patch(json.loads(document))
    keys = {
        key
        for cell in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
        for key in re.findall(r"`(\w+)`", cell)
    }
    rule = {field.name for field in fields(Fault)} - {"seen", "used", "process", "quote"}
    assert rule <= keys


def test_page_contains_the_whole_document(elements: Elements) -> None:
    options = json.loads(elements.contents["script"][-1].removeprefix("SwaggerUIBundle(").removesuffix(")"))
    document = yaml.safe_load((REPOSITORY / "docs/openapi.yaml").read_text())
    assert options["spec"] == json.loads(json.dumps(document, default=str))
    assert options["validatorUrl"] is None


def test_page_loads_nothing_from_elsewhere(elements: Elements) -> None:
    assert [tag for tag, attributes in elements.tags if {"src", "href"} & attributes.keys()] == []
    style = "".join(elements.contents["style"])
    assert "@import" not in style
    loaded = re.findall(r"url\(\s*['\"]?([^'\")]*)", style)
    assert [target for target in loaded if not target.startswith(("data:", "#"))] == []


def test_page_forbids_the_browser_to_load_anything(elements: Elements) -> None:
    (policy,) = [attributes["content"] for tag, attributes in elements.tags if "http-equiv" in attributes]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "*" not in policy
