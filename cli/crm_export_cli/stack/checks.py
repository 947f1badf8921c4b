"""What `doctor` looks at in a stack, besides the connection. A refusal by AWS is a finding, too."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import requests

from crm_export.redaction import printable
from crm_export.strict_json import loads
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.findings import Finding, of_error
from crm_export_cli.stack.functions import EXPORTS, PAGES, Stack, aws_errors

RESOURCES = (
    PAGES, EXPORTS, "CallbackReceiver", "ResultDownloader", "ExportReconciler", "HttpApi", "ExportsTable",
    "ResultsBucket", "SubmitQueue", "DownloadQueue", "CallbackSecret", "ZohoClient",
)  # fmt: skip
DEAD_LETTERS = ("SubmitDeadLetterQueue", "DownloadDeadLetterQueue")
_STEADY = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
_TIMEOUT = (5, 30)
_LARGEST = 1_000_000  # bytes of a response
_CALLBACK = "/v1/e/zoho/bulk-read/callback/doctor/1/wrong"  # no signature of ours
_LATER = (
    "Exports end without callbacks, too, but minutes later. Zoho must reach this URL from the internet; see "
    "the parameter CallbackBaseUrl."
)


def check_stack(stack: Stack) -> Iterator[Finding]:
    """Check the parts of a stack; the local one has no resources, issuer and quota of AWS."""
    for name, check in _CHECKS:
        try:
            found = check(stack)
        except CliError as error:
            found = replace(of_error(name, error), state="warning")
        if found is not None:
            yield found


def _resources(stack: Stack) -> Finding | None:
    if stack.status is None:
        return None
    missing = [name for name in RESOURCES if stack.find(name) is None]
    if missing:
        return Finding(
            "stack", "error", f"The stack lacks {', '.join(missing)}.", "Deploy it again: make deploy."
        )
    if stack.status not in _STEADY:
        remedy = "Wait until a deployment has ended; if it failed, look at the stack's events."
        return Finding("stack", "warning", f"The stack's state is {stack.status}.", remedy)
    return Finding("stack", "ok", f"The stack is complete ({stack.status}).")


def _functions(stack: Stack) -> Finding:
    """Ask Lambda whether this operator may invoke the functions; they do not run."""
    try:
        for name in (EXPORTS, PAGES):
            with aws_errors():
                stack.client("lambda").invoke(FunctionName=stack.physical_id(name), InvocationType="DryRun")
    except CliError as error:
        return of_error("credentials" if error.exit_code == Exit.NOT_CONNECTED else "functions", error)
    return Finding("functions", "ok", f"{EXPORTS} and {PAGES} can be invoked.")


def _issuer(stack: Stack) -> Finding | None:
    """Read what API Gateway reads, to verify the tokens of the HTTP API. Operators need no token."""
    if stack.status is None:
        return None
    issuer = stack.parameters.get("JwtIssuer", "")
    remedy = "Clients of the HTTP API are refused; operators are not. Correct JwtIssuer, and deploy."
    try:
        _, document = _exchange("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    except requests.RequestException as error:
        message = f"The issuer {issuer} cannot be reached from here ({type(error).__name__})."
        return Finding("issuer", "warning", message, remedy)
    named = document.get("issuer")
    if named != issuer:
        what = "does not describe itself" if named is None else f"calls itself {printable(str(named)[:200])}"
        return Finding("issuer", "warning", f"The issuer {issuer} {what}.", remedy)
    if stack.parameters.get("JwtAudience") == "unset":
        remedy = "Set JwtAudience, and deploy, if the HTTP API is used; operators need no token."
        return Finding("issuer", "warning", "JwtAudience is not set: no token is accepted.", remedy)
    return Finding("issuer", "ok", f"The issuer {issuer} describes itself.")


def _callback(stack: Stack) -> Finding:
    """Post a callback with a wrong signature: the API must refuse it in its own words."""
    url = stack.parameters.get("CallbackBaseUrl") or stack.api_url
    try:
        status, document = _exchange("POST", url + _CALLBACK)
    except requests.RequestException as error:
        message = f"The URL for callbacks, {url}, cannot be reached from here ({type(error).__name__})."
        return Finding("callback", "warning", message, _LATER)
    if document.get("code") == "INVALID_SIGNATURE":
        return Finding("callback", "ok", f"{url} receives callbacks, and refuses a wrong signature.")
    what = printable(str(document.get("code", "no error of ours"))[:100])
    message = f"{url} responds to a callback with {status} ({what}), but not by refusing its signature."
    return Finding("callback", "warning", message, _LATER)


def _exchange(method: str, url: str) -> tuple[int, dict[str, Any]]:
    """Send a request; return the status, and the response's JSON object or {}. Follows no redirect."""
    with requests.request(
        method,
        url,
        json={} if method == "POST" else None,
        timeout=_TIMEOUT,
        allow_redirects=False,
        stream=True,
    ) as response:
        body = next(response.iter_content(_LARGEST), b"")
    try:
        found = loads(body) if response.status_code != HTTPStatus.NO_CONTENT else {}
    except ValueError:
        found = {}
    return response.status_code, found if isinstance(found, dict) else {}


def _quota(stack: Stack) -> Finding | None:
    if stack.status is None:
        return None
    with aws_errors():
        limit = stack.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    assumed = int(stack.parameters.get("AccountConcurrency", limit))
    message = f"Lambda runs up to {limit:,} executions at once in this account and region"
    if limit >= assumed:
        return Finding("quota", "ok", f"{message}.")
    remedy = f"Ask AWS for a higher quota, or set AccountConcurrency={limit} and deploy"
    few = ", with WorkersPerQueue=3" if int(stack.parameters.get("WorkersPerQueue", 0)) * 2 >= limit else ""
    return Finding(
        "quota", "warning", f"{message}, but AccountConcurrency is {assumed:,}.", f"{remedy}{few}."
    )


def _dead_letters(stack: Stack) -> Finding:
    count = 0
    for name in DEAD_LETTERS:
        url = stack.physical_id(name)
        with aws_errors():
            found = stack.client("sqs").get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
            )
        count += int(found["Attributes"]["ApproximateNumberOfMessages"])
    if count:
        message = f"{count:,} message{'' if count == 1 else 's'} failed ten times."
        return Finding("dead-letter", "warning", message, 'See docs/operations.md, "Dead letters".')
    return Finding("dead-letter", "ok", "No message has failed ten times.")


_CHECKS: tuple[tuple[str, Callable[[Stack], Finding | None]], ...] = (
    ("stack", _resources),
    ("functions", _functions),
    ("issuer", _issuer),
    ("callback", _callback),
    ("quota", _quota),
    ("dead-letter", _dead_letters),
)
