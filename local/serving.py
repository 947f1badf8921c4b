"""Deploys the template to the started servers, and serves its functions, routes, queues and schedules.

Called by `stack`.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from local.cloudformation.deploy import deploy
from local.cloudformation.resources import API_ID, Deployment, Function, QueueMapping
from local.cloudformation.template import load_template
from local.edge.control import Control
from local.edge.gateway import Gateway
from local.edge.routes import Route, read_routes
from local.edge.tokens import AUDIENCE, ISSUER, TokenIssuer
from local.host.aws import REGION, LocalAws
from local.host.http import bind
from local.host.processes import LocalStackError
from local.monitoring.metrics import Metrics
from local.runtime.lambdas import Lambdas
from local.servers import Servers, StackOptions
from local.state import State
from local.triggers.pollers import Poller
from local.triggers.schedules import Ticker

# The connection that a new stack starts with, as the simulator knows it.
_ACCOUNT, _OWNER = "acct-1", "user-1"
_CLIENT_ID, _CLIENT_SECRET, _REFRESH_TOKEN = "1000.LOCAL", "local-secret", "1000.local.refresh"  # noqa: S105
_HTTP_ENVIRONMENTS = 4


@dataclass(frozen=True)
class Stack:
    """A running stack. `not_made` names the resources that moto did not create."""

    state: State
    lambdas: Lambdas
    aws: LocalAws
    not_made: list[str]
    startup_seconds: float


@contextmanager
def serving(options: StackOptions, servers: Servers) -> Iterator[Stack]:
    """Deploy the template to `servers` and serve its functions, routes, queues and schedules.

    Raises LocalStackError.
    """
    with ExitStack() as undo:
        gateway = _bind_gateway(options.host, options.port)
        undo.callback(gateway.close)
        aws, zoho_url, deployment = _deploy(options, servers, gateway.url)
        issuer = TokenIssuer(
            options.parameters.get("JwtIssuer", ISSUER), options.parameters.get("JwtAudience", AUDIENCE)
        )
        lambdas = _serve(options, undo, deployment, aws, issuer=issuer, gateway=gateway)
        control = Control(lambdas, issuer)
        undo.callback(control.close)
        state = State(
            api_url=gateway.url,
            aws_endpoint_url=aws.url,
            region=REGION,
            results_bucket=_output(deployment, "ResultsBucketName"),
            exports_table=_output(deployment, "ExportsTableName"),
            zoho_url=zoho_url,
            token=issuer.mint(_ACCOUNT, _OWNER),
            queues=deployment.queues,
            functions={logical_id: function.name for logical_id, function in deployment.functions.items()},
            outputs=deployment.outputs | {"ApiUrl": gateway.url},
            control_url=control.url,
            logs=str(options.logs.resolve()),
            pid=os.getpid(),
        )
        yield Stack(state, lambdas, aws, deployment.not_made, time.monotonic() - servers.started)


def _bind_gateway(host: str, port: int) -> Gateway:
    try:
        return Gateway(bind(port, host))
    except OSError as error:
        raise LocalStackError(f"port {port} of {host} cannot be used: {error.strerror}") from error


def _deploy(options: StackOptions, servers: Servers, api_url: str) -> tuple[LocalAws, str, Deployment]:
    """Deploy the template. Returns AWS, Zoho's URL and the deployment."""
    zoho_url = servers.zoho.wait_for_url() if servers.zoho else options.zoho_url or ""
    options.report("translating template.yaml")
    template = load_template(options.template, _parameters(api_url, zoho_url), options.parameters)
    aws = LocalAws(servers.moto.wait_for_url())
    options.report("creating the resources of template.yaml")
    deployment = deploy(template, aws, api_url)
    if name := deployment.outputs.get("ConnectionSecretName"):
        _store_connection(aws, name.replace("<account_id>", _ACCOUNT).replace("<owner>", _OWNER), zoho_url)
    return aws, zoho_url, deployment


def _parameters(api_url: str, zoho_url: str) -> dict[str, str]:
    """Return the template parameters that the stack sets by itself."""
    return {
        "ZohoClientId": _CLIENT_ID,
        "ZohoClientSecret": _CLIENT_SECRET,
        "JwtIssuer": ISSUER,
        "JwtAudience": AUDIENCE,
        "TrustedZohoOrigins": zoho_url,
        "CallbackBaseUrl": api_url,
    }


def _store_connection(aws: LocalAws, name: str, zoho_url: str) -> None:
    """Store the connection of acct-1/user-1 as the secret where the functions look for it."""
    token = {"refresh_token": _REFRESH_TOKEN, "api_domain": zoho_url, "accounts_server": zoho_url}
    connection = {"account_id": _ACCOUNT, "owner": _OWNER, "token": token, "token_invalidated": False}
    aws.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(connection))


def _serve(
    options: StackOptions,
    undo: ExitStack,
    deployment: Deployment,
    aws: LocalAws,
    *,
    issuer: TokenIssuer,
    gateway: Gateway,
) -> Lambdas:
    """Serve the deployed functions and routes, and start the queues and schedules."""
    options.report("starting queues, schedules and the API")
    routes = [route for body in deployment.api_bodies for route in read_routes(body, issuer.public_key)]
    limits = {
        logical_id: _environments(function, routes, deployment.mappings)
        for logical_id, function in deployment.functions.items()
    }
    metrics = Metrics(aws, deployment.functions, API_ID, options.logs)
    undo.callback(metrics.stop)
    metrics.start()
    lambdas = Lambdas(deployment.functions.values(), limits, aws, options.logs, metrics.invoked)
    undo.callback(lambdas.close)
    gateway.serve(routes, lambdas, metrics.requested)
    sources: list[Poller | Ticker] = []
    if not options.quiet:
        sources += [Poller(item, aws, lambdas.invoke) for item in deployment.mappings]
        sources += [Ticker(item, lambdas.invoke, options.tick) for item in deployment.schedules]
    for source in sources:
        undo.callback(source.stop)
        source.start()
    return lambdas


def _environments(function: Function, routes: Sequence[Route], mappings: Sequence[QueueMapping]) -> int:
    """Return how many environments `function` may have at once."""
    by_http = _HTTP_ENVIRONMENTS if any(route.function == function.arn for route in routes) else 0
    by_queue = sum(item.concurrency for item in mappings if item.function in (function.name, function.arn))
    return max(1, by_http + by_queue)


def _output(deployment: Deployment, name: str) -> str:
    try:
        return deployment.outputs[name]
    except KeyError:
        raise LocalStackError(f"the template has no output {name}, which the state file needs") from None
