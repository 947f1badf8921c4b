"""No token, secret or personal data in any log line of the whole suite. Runs last (conftest)."""

import logging
import re

import pytest

SECRETS = {
    "a refresh or access token": r"1000\.(?!LOCAL\b)[0-9A-Za-z]{2,}[0-9A-Za-z._-]+",
    "a client secret": r"local-secret|s3cret|client_secret=",
    "an Authorization header": r"Zoho-oauthtoken|Bearer ",
    "a JWT": r"eyJ[A-Za-z0-9_-]{10,}\.",
    "the signature of a callback URL": r"/callback/[^/ ]+/\d+/[0-9a-f]{64}",
    "a key of AWS": r"X-Amz-Signature=",
    "personal data": r"[\w.]+@(?:\w+\.)*example(?:\.com)?\b",
}
NOT_OURS = {"aws.log", "zoho.log"}  # moto's and the simulator's own


def found_in(lines):
    return [
        (what, line[:300]) for line in lines for what, secret in SECRETS.items() if re.search(secret, line)
    ]


def test_the_patterns_find_what_they_are_for():
    lines = [
        "refresh_token 1000.local.refresh",
        "access 1000.8cb99d1234.9be93abc",
        "client_secret=x",
        "Authorization: Zoho-oauthtoken x",
        "Authorization: Bearer x",
        "token eyJhbGciOiJSUzI1NiJ9.e30.x",
        f"POST /v1/e/zoho/bulk-read/callback/2026/1/{'a' * 64}",
        "url?X-Amz-Signature=abc",
        "contact.999@zylker.example",
    ]
    assert [len(found_in([line])) for line in lines] == [1] * len(lines)
    assert not found_in(["client 1000.LOCAL", "job 1000.5 ms"])


def test_no_secret_in_any_log_line_of_this_run(
    kept_lines: list[str], tmp_path_factory: pytest.TempPathFactory
):
    logging.getLogger("tests").warning("the last line")
    written = [
        line
        for path in tmp_path_factory.getbasetemp().rglob("*.log")
        if path.name not in NOT_OURS
        for line in path.read_text(errors="replace").splitlines()
    ]
    assert kept_lines[-1].startswith("tests: the last line")
    assert found_in(kept_lines + written) == []
