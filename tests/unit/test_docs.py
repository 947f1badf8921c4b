"""The documentation's page: all of it is served from here, and it asks nobody else."""

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


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = Server(answer)
    yield f"{server.url}/"
    server.close()


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=10)


def references(page: str) -> list[str]:
    """What the page loads."""
    found: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, _tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.extend(value for name, value in attributes if name in ("src", "href") and value)

    Parser().feed(page)
    return found


def test_every_file_of_the_page_is_served_with_it(url: str) -> None:
    names = references(get(url).text)
    assert {"swagger-ui-bundle.js", "swagger-ui.css", "start.js"} <= set(names)
    for name in names:
        assert urlsplit(urljoin(url, name)).netloc == urlsplit(url).netloc
        assert get(urljoin(url, name)).status_code == 200, name


def test_the_viewer_is_given_our_document_and_no_other_host(url: str) -> None:
    start = get(f"{url}start.js").text
    assert re.findall(r'url: "(.*)"', start) == ["openapi.yaml"]
    assert "validatorUrl: null" in start
    assert "//" not in start


def test_stylesheets_load_nothing_from_elsewhere(url: str) -> None:
    text = get(f"{url}swagger-ui.css").text
    assert "@import" not in text
    loaded = re.findall(r"url\(\s*['\"]?([^'\")]*)", text)
    assert [target for target in loaded if not target.startswith(("data:", "#"))] == []


def test_the_browser_is_told_to_load_nothing_from_elsewhere(url: str) -> None:
    policy = get(url).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert "*" not in policy


def test_the_document_is_served_as_it_is(url: str) -> None:
    served = get(f"{url}openapi.yaml")
    assert served.text == (REPOSITORY / "docs/openapi.yaml").read_text()
    assert yaml.safe_load(served.text)["info"]["title"] == "zoho-crm-export"


@pytest.mark.parametrize("name", ["index.html", "../template.yaml", "%2e%2e/template.yaml", "swagger-ui.js"])
def test_nothing_else_is_served(url: str, name: str) -> None:
    assert get(url + name).status_code == 404


@pytest.mark.process
def test_the_command_prints_where_it_serves_and_ends_when_told() -> None:
    command = [sys.executable, "-m", "local.docs"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert get(line.rpartition(" ")[2].strip()).status_code == 200
        finally:
            os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
