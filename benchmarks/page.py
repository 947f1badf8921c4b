"""Measures a warm page of 200 records: `python -m benchmarks.page` prints what each way to it costs.

Zoho (`benchmarks.zoho_server`) and AWS (moto) are other processes on loopback, so CPU seconds are those of
the caller alone. The rows take turns in one process.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import requests

from benchmarks.report import Report, table_of
from local.host.processes import REPOSITORY, Child, isolate_from_aws

RECORDS = 200
KINDS = {"narrow": 20, "wide": 60}  # fields of a record
_ACCOUNT, _OWNER = "acct-1", "user-1"
_BLOCK = 10  # pages of one row before the next row takes its turn
_TEXT = """\
One page of records through our function, and through other ways to it. Zoho and AWS are other processes on
loopback, so CPU time is that of the caller alone. Everything is warm: connections are open, tokens are
cached. The rows take turns; the figures are medians. "Seed to the letter" is the original API in Python: it
reads the connection and gets a new token for each page.
"""

type Page = Callable[[], Any]


@dataclass
class World:
    """Zoho, AWS and the function's environment. aws_calls: of all boto3 clients that `client` returned."""

    zoho: str
    environment: dict[str, str]
    aws_calls: Counter[str] = field(default_factory=Counter)

    def client(self, service: str) -> Any:
        """Return the function's own boto3 client of a service, whose calls are counted."""
        boto3_client = import_module("crm_export.wiring").boto3_client
        client = boto3_client(service)

        def count(model: Any, **_: Any) -> None:
            self.aws_calls[f"{service}:{model.name}"] += 1

        client.meta.events.register("before-call", count, unique_id="benchmark")
        return client

    def zoho_calls(self) -> dict[str, int]:
        """Return how many pages and tokens Zoho was asked for."""
        calls: dict[str, int] = requests.get(f"{self.zoho}/calls", timeout=5).json()
        return calls


@contextmanager
def world(kind: str) -> Iterator[World]:
    """Start Zoho and AWS, deploy the template and store a connection."""
    from local.cloudformation.deploy import deploy  # noqa: PLC0415 - after the environment is isolated
    from local.cloudformation.template import load_template  # noqa: PLC0415
    from local.host.aws import REGION, LocalAws  # noqa: PLC0415
    from local.runtime.environments import lambda_variables  # noqa: PLC0415

    with ExitStack() as undo:
        undo.callback(_set_environment, dict(os.environ))
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        children = [
            Child("benchmarks.zoho_server", [kind], log=folder / "zoho.log"),
            Child("local.host.aws", log=folder / "aws.log"),
        ]
        for child in children:
            undo.callback(child.stop)
        zoho, aws = children[0].wait_for_url(), LocalAws(children[1].wait_for_url())
        ours = {"ZohoClientId": "1000.BENCH", "ZohoClientSecret": "bench", "TrustedZohoOrigins": zoho}
        deployment = deploy(load_template(REPOSITORY / "template.yaml", ours, {}), aws, "https://api.invalid")
        token = {"refresh_token": "1000.bench", "api_domain": zoho, "accounts_server": zoho}
        aws.client("secretsmanager").create_secret(
            Name=f"zoho-crm-export/connections/{_ACCOUNT}/{_OWNER}",
            SecretString=json.dumps({"account_id": _ACCOUNT, "owner": _OWNER, "token": token}),
        )
        variables = lambda_variables(deployment.functions["ExportHandler"], "stream", "none", REGION)
        del variables["PYTHONPATH"], variables["TZ"], variables["AWS_LAMBDA_INITIALIZATION_TYPE"]
        os.environ.update(variables | {"AWS_ENDPOINT_URL": aws.url})
        import_module("crm_export.wiring").boto3_client.cache_clear()  # clients of an earlier world
        yield World(zoho, variables)


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


# --- the rows ---


def bare_call(world: World) -> Page:
    """Return the least that a page can cost: one GET on a connection that is kept, and nothing else."""
    session, url, params = requests.Session(), f"{world.zoho}/crm/v2/Contacts", _params()
    headers = {"Authorization": "Zoho-oauthtoken 1000.x"}
    return lambda: session.get(url, params=params, headers=headers, timeout=30).content


def parsed_call(world: World) -> Page:
    """Return the bare call, with its body read by Python's json."""
    call = bare_call(world)
    return lambda: json.loads(call())


def our_handler(world: World) -> Page:
    """Return the function's real handler in a real container."""
    container, running_in = _container(world)
    handler, event = import_module("functions.export_handler.app").lambda_handler, _event()

    def page() -> Any:
        with running_in(container):
            return handler(event, _Context())

    return page


def our_handler_and_runtime(world: World) -> Page:
    """Return the handler and what Lambda's runtime client does with its response."""
    from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller  # noqa: PLC0415

    page, marshal = our_handler(world), LambdaMarshaller().marshal_response

    def sent() -> bytes:
        text, _ = marshal(page())
        return bytes(text, "utf-8")

    return sent


def seed_handler(world: World) -> Page:
    """Return the original API, to the letter: read the connection, a new token, the page, new connections."""
    store = world.client("secretsmanager")
    name = f"zoho-crm-export/connections/{_ACCOUNT}/{_OWNER}"

    def page() -> dict[str, Any]:
        stored = json.loads(store.get_secret_value(SecretId=name)["SecretString"])["token"]
        grant = {"grant_type": "refresh_token", "refresh_token": stored["refresh_token"]}
        client = {"client_id": "1000.BENCH", "client_secret": "bench"}
        token = requests.post(f"{world.zoho}/oauth/v2/token", data=grant | client, timeout=30).json()
        headers = {"Authorization": f"Bearer {token['access_token']}", "Content-Type": "application/json"}
        url = f"{stored['api_domain']}/crm/v2/Contacts"
        found = requests.get(url, params=_params(), headers=headers, timeout=30).json()
        body = {"success": True, "message": "Received Information"}
        body |= {"data": found["data"], "pagination": found["info"]}
        return {"statusCode": 200, "body": json.dumps(body)}

    return page


ROWS: dict[str, Callable[[World], Page]] = {
    "bare call": bare_call,
    "bare call, json.loads": parsed_call,
    "ours": our_handler,
    "ours, and Lambda's runtime client": our_handler_and_runtime,
    "seed to the letter": seed_handler,
}


def _container(world: World) -> tuple[Any, Any]:
    wiring = import_module("crm_export.wiring")
    return wiring.Container(world.environment, aws=world.client), wiring.running_in


def _params() -> dict[str, str]:
    return {"page": "1", "per_page": str(RECORDS)}


def _event() -> dict[str, Any]:
    path = "/v1/e/zoho/export/contacts"
    claims = {"account_id": _ACCOUNT, "uid": _OWNER}
    return {
        "version": "2.0",
        "routeKey": "GET /v1/e/zoho/export/{type}",
        "rawPath": path,
        "rawQueryString": f"limit={RECORDS}",
        "queryStringParameters": {"limit": str(RECORDS)},
        "headers": {"accept": "*/*"},
        "requestContext": {
            "domainName": "api.invalid",
            "http": {"method": "GET", "path": path},
            "requestId": "request-1",
            "stage": "$default",
            "authorizer": {"jwt": {"claims": claims, "scopes": None}},
        },
        "isBase64Encoded": False,
    }


class _Context:
    function_name = "export-handler"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:export-handler"
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


# --- measuring ---


def measure(rows: dict[str, Page], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of CPU and wall milliseconds per page; the rows take turns."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for page in rows.values():
        page()
    for _ in range(rounds):
        for name, page in rows.items():
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(_BLOCK):
                page()
            used = time.process_time() - cpu, time.perf_counter() - wall
            samples[name].append((used[0] * 1000 / _BLOCK, used[1] * 1000 / _BLOCK))
    return {
        name: (median(cpu for cpu, _ in found), median(wall for _, wall in found))
        for name, found in samples.items()
    }


def calls_in_steady_state(world: World, page: Page, pages: int = 20) -> dict[str, float]:
    """Return the calls per page of a warm container: to Zoho for pages and tokens, and to AWS."""
    page()
    before, aws_before = world.zoho_calls(), world.aws_calls.total()
    for _ in range(pages):
        page()
    after = world.zoho_calls()
    calls = {kind: (after[kind] - before[kind]) / pages for kind in after}
    return calls | {"aws": (world.aws_calls.total() - aws_before) / pages}


def rows(quick: bool = False, kind: str = "narrow") -> list[dict[str, Any]]:
    """Return one row for each way: CPU and wall ms, pages per CPU second, and calls per page."""
    isolate_from_aws()
    with world(kind) as here, redirect_stdout(StringIO()):  # the function's log lines
        pages = {name: make(here) for name, make in ROWS.items()}
        calls = {name: calls_in_steady_state(here, page) for name, page in pages.items()}
        measured = measure(pages, 5 if quick else 31)
    base = measured["bare call"][0]
    return [
        {
            "row": name,
            "CPU ms": round(cpu, 2),
            "above bare": round(cpu - base, 2),
            "wall ms": round(wall, 2),
            "per CPU s": round(1000 / cpu),
            "pages": calls[name]["pages"],
            "tokens": calls[name]["tokens"],
            "AWS": calls[name]["aws"],
        }
        for name, (cpu, wall) in measured.items()
    ]


def run(quick: bool) -> Report:
    """Measure both kinds of records, and return a table of each."""
    note = "Above bare: CPU milliseconds more than the bare call. Pages and tokens (Zoho) and AWS are calls."
    found = {kind: rows(quick, kind) for kind in KINDS}
    tables = [
        table_of(f"{RECORDS} records of {fields} fields", found[kind], note) for kind, fields in KINDS.items()
    ]
    above = " and ".join(
        f"{row['above bare']} ms ({kind})" for kind in KINDS for row in found[kind] if row["row"] == "ours"
    )
    return Report("Warm page", tables, facts={"Our CPU time above that of a bare GET": above}, text=_TEXT)


def main() -> None:
    """Print the rows of both kinds of records."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="records of 20 or 60 fields")
    options = parser.parse_args()
    for kind in options.kind or KINDS:
        found = rows(options.quick, kind)
        names = list(found[0])
        widths = [max(len(str(row[name])) for row in [*found, dict.fromkeys(names, name)]) for name in names]
        sys.stdout.write(f"\n{kind} records\n")
        for row in [dict(zip(names, names, strict=True)), *found]:
            cells = [str(row[name]).ljust(width) for name, width in zip(names, widths, strict=True)]
            sys.stdout.write("  ".join(cells).rstrip() + "\n")


if __name__ == "__main__":
    main()
