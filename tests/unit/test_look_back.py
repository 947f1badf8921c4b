"""The checks at the end of a run find what they look for, with workers and for parts of the suite."""

import subprocess
import textwrap

import pytest

from tests.support.look_back import secrets_in

pytest_plugins = ["pytester"]
SECRET_LINES = [
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
CONFTEST = """
    from tests.support.look_back import LookBack, search_log_files

    def pytest_configure(config):
        config.pluginmanager.register(LookBack(config), "look_back")
"""
LOGS = """
    import logging

    def test_message():
        logging.getLogger("x").warning("%s", "client_secret=x")

    def test_extra_key():
        logging.getLogger("x").error("call", extra={"url": "client_secret=x"})

    def test_exception():
        logging.getLogger("x").error("call", exc_info=ValueError("client_secret=x"))

    def test_file_of_a_process(tmp_path):
        (tmp_path / "function.log").write_text("client_secret=x")
"""
CALLS = """
    from tests.support.look_back import look_back_of

    def test_one(pytestconfig):
        record = look_back_of(pytestconfig).record
        record["refused"].append("F may not call s3:GetObject")
        record["granted"] += [("F", "Sid", "s3:PutObject", "b"), ("F", "Sid", "s3:GetObject", "b")]

    def test_two(pytestconfig):
        look_back_of(pytestconfig).record["used"].append(("F", "Sid", "s3:GetObject", "b"))
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in a process over the given files and delete the secrets, which the outer run would find."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]")
    pytester.makeconftest(CONFTEST)

    def run_pytest(*arguments: str, **files: str) -> pytest.RunResult:
        pytester.mkdir("tests").joinpath("functional").mkdir()
        for name, source in files.items():
            path = pytester.path / "tests" / name.replace("__", "/")
            path.with_suffix(".py").write_text(textwrap.dedent(source))
        result = pytester.runpytest_subprocess("-rs", "-pxdist", "--import-mode=importlib", *arguments)
        for log in pytester.path.parent.rglob("function.log"):
            log.unlink()
        return result

    return run_pytest


@pytest.mark.parametrize("line", SECRET_LINES)
def test_secret_in_a_line_is_found_once(line):
    assert len(list(secrets_in([line], "test"))) == 1


def test_client_id_and_durations_are_not_secrets():
    assert list(secrets_in(["client 1000.LOCAL", "job 1000.5 ms"], "test")) == []


@pytest.mark.process
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_run_fails_when_secrets_are_logged(run, workers):
    result = run(workers, test_logs=LOGS)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=6, failed=1)
    problems = [line for line in result.outlines if line.startswith("a client secret in a log line of ")]
    assert len(problems) == 4


@pytest.mark.process
def test_run_fails_when_a_logger_was_disabled(run):
    source = "import logging\ndef test_disables():\n    logging.getLogger('quiet').disabled = True"
    result = run(test_disables=source)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["A test disabled the logger quiet, so its lines were not searched."])


@pytest.mark.process
def test_run_without_functional_tests_does_not_look_for_unused_permissions(run):
    nothing = "def test_nothing(tmp_path):\n    (tmp_path / 'aws.log').write_text('client_secret=x')"
    result = run("--ignore", "tests/functional", test_nothing=nothing, functional__test_calls=CALLS)
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines(["*1 files of functional tests were not collected."])


@pytest.mark.process
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_run_fails_when_a_call_is_refused_or_a_permission_unused(run, workers):
    result = run(workers, functional__test_calls=CALLS)
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(["F may not call s3:GetObject"])
    result.stdout.no_fnmatch_line("Nothing uses the permission*s3:GetObject*")
    result.stdout.fnmatch_lines(["Nothing uses the permission ('F', 'Sid', 's3:PutObject', 'b')."])


@pytest.mark.process
@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        (["-k", "test_two"], "Only a part of the functional tests was selected."),
        (["tests/functional/test_calls.py::test_two"], "Only a part of the functional tests was selected."),
        ([], "1 functional tests did not pass."),
    ],
)
def test_part_of_the_functional_tests_does_not_look_for_unused_permissions(run, selection, reason):
    source = CALLS if selection else CALLS + "        assert False\n"
    result = run(*selection, functional__test_calls=source)
    result.stdout.fnmatch_lines([f"*{reason}"])
    result.stdout.no_fnmatch_line("*Nothing uses the permission*")


def test_unit_test_without_the_mark_cannot_start_a_process():
    with pytest.raises(pytest.fail.Exception, match="mark it with @pytest.mark.process"):
        subprocess.run(["true"], check=False)
