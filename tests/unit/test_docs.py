"""The documentation page is served completely and loads nothing from other hosts."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
import requests
import yaml

from local.docs import answer
from local.stack.http import Server
from local.stack.processes import REPOSITORY


def test_readme_lists_every_parameter_of_the_template() -> None:
    template = (REPOSITORY / "template.yaml").read_text()
    parameters = template.partition("\nParameters:\n")[2].partition("\nRules:\n")[0]
    table = (REPOSITORY / "README.md").read_text().partition("\n## Configuration\n")[2].partition("\n## ")[0]
    first_columns = "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))
    names = re.findall(r"^  (\w+):$", parameters, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", first_columns)) == sorted(names)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = Server(answer)
    yield f"{server.url}/"
    server.close()


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=10)


def references(page: str) -> list[str]:
    """Return the URLs that the page loads."""
    urls: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, _tag: str, attributes: list[tuple[str, str | None]]) -> None:
            urls.extend(value for name, value in attributes if name in ("src", "href") and value)

    Parser().feed(page)
    return urls


def test_page_files_are_all_served_from_the_same_host(url: str) -> None:
    names = references(get(url).text)
    assert {"swagger-ui-bundle.js", "swagger-ui.css", "start.js"} <= set(names)
    for name in names:
        assert urlsplit(urljoin(url, name)).netloc == urlsplit(url).netloc
        assert get(urljoin(url, name)).status_code == 200, name


def test_viewer_shows_only_our_document_without_validator(url: str) -> None:
    start = get(f"{url}start.js").text
    assert re.findall(r'url: "(.*)"', start) == ["openapi.yaml"]
    assert "validatorUrl: null" in start
    assert "//" not in start


def test_stylesheet_loads_nothing_from_other_hosts(url: str) -> None:
    text = get(f"{url}swagger-ui.css").text
    assert "@import" not in text
    loaded = re.findall(r"url\(\s*['\"]?([^'\")]*)", text)
    assert [target for target in loaded if not target.startswith(("data:", "#"))] == []


def test_content_security_policy_allows_only_the_same_host(url: str) -> None:
    policy = get(url).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert "*" not in policy


def test_document_is_served_unchanged(url: str) -> None:
    served = get(f"{url}openapi.yaml")
    assert served.text == (REPOSITORY / "docs/openapi.yaml").read_text()
    assert yaml.safe_load(served.text)["info"]["title"] == "zoho-crm-export"


@pytest.mark.parametrize("name", ["index.html", "../template.yaml", "%2e%2e/template.yaml", "swagger-ui.js"])
def test_other_path_returns_404(url: str, name: str) -> None:
    assert get(url + name).status_code == 404


@pytest.mark.process
def test_docs_command_prints_its_url_and_stops_on_sigterm() -> None:
    command = [sys.executable, "-m", "local.docs"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert get(line.rpartition(" ")[2].strip()).status_code == 200
        finally:
            os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
