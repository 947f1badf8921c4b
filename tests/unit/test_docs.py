"""The documents agree with the code, and the HTTP API's page is whole and loads nothing from elsewhere."""

import inspect
import json
import re
import shlex
from dataclasses import fields
from html.parser import HTMLParser

import pytest
import yaml

from crm_export.exports.model import next_step
from local.cli_reference import PAGE, commands, rewritten
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


def test_configuration_lists_every_parameter_of_the_template() -> None:
    template = (REPOSITORY / "template.yaml").read_text()
    parameters = template.partition("\nParameters:\n")[2].partition("\nRules:\n")[0]
    table = (REPOSITORY / "docs/configuration.md").read_text()
    first_columns = "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))
    names = re.findall(r"^  (\w+):$", parameters, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", first_columns)) == sorted(names)


PAGES = ("README.md", "docs/cli.md", "docs/deploy.md", "docs/simulator.md")


def shell_lines(page: str) -> list[str]:
    """Return the commands in the page's sh blocks, without comments; continued lines are joined."""
    blocks = re.findall(r"```sh\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)
    text = "".join(blocks).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in text.splitlines()]


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_in_the_documentation_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    used = {line.split()[1] for line in shell_lines(page) if line.startswith("make ")}
    assert used <= targets


@pytest.mark.parametrize("page", PAGES)
def test_crm_export_commands_in_the_documentation_exist_with_their_options(page: str) -> None:
    known = dict(commands())
    for line in shell_lines(page):
        if (match := re.match(r"(?:\w+=\S+ )*(?:\.venv/bin/)?crm-export (.*)", line)) is None:
            continue
        words = shlex.split(match[1])
        path = " ".join(words[:2]) if words[0] in {"exports", "connections", "sync", "lake"} else words[0]
        assert path in known, line
        options = {name for parameter in known[path].params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_readme_begins_with_demo_and_test_and_can_be_read_in_one_go() -> None:
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    assert [line.split("  ")[0] for line in lines[3:5]] == ["make demo", "make test"]
    assert len(lines) <= 200


def test_cli_page_describes_the_commands_as_they_are() -> None:
    page = PAGE.read_text()
    assert rewritten(page) == page, "run `make reference`"


def test_readme_picture_loads_nothing_and_names_no_machine() -> None:
    picture = (REPOSITORY / "docs/terminal.svg").read_text()
    assert "crm-export" in picture
    assert "@font-face" not in picture
    assert not re.search(r"127\.0\.0\.1|/tmp|/home|/root|/Users", picture)


def test_links_between_documents_lead_somewhere() -> None:
    for document in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


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
    document = yaml.load((REPOSITORY / "docs/openapi.yaml").read_text(), Loader=yaml.CSafeLoader)
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
