"""The whole stack: started in order, found by its state, ended without a process left behind."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from local.stack import seed
from local.stack.aws import LocalAws
from local.stack.control import Control
from local.stack.errors import StartError, TemplateError
from local.stack.functions import Function, QueueMapping
from local.stack.gateway import Gateway
from local.stack.http import bind
from local.stack.lambdas import Lambdas
from local.stack.pollers import Poller
from local.stack.processes import REPOSITORY, Child
from local.stack.routes import Route, read_routes
from local.stack.schedules import Ticker
from local.stack.state import State
from local.stack.tokens import AUDIENCE, ISSUER, TokenIssuer

if TYPE_CHECKING:
    from local.stack.deploy import Deployment

_HTTP_ENVIRONMENTS = 4


@dataclass(frozen=True)
class StackOptions:
    """How to start a stack. `quiet` leaves queues unpolled and schedules unfired, to invoke by hand."""

    logs: Path
    template: Path = REPOSITORY / "template.yaml"
    port: int = 0
    zoho_url: str | None = None
    records: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    tick: float | None = None
    quiet: bool = False


class Stack:
    """A running stack; a context manager that takes everything down at its end."""

    state: State
    lambdas: Lambdas
    aws: LocalAws
    startup_seconds: float
    not_made: list[str]

    def __init__(self, options: StackOptions) -> None:
        """Prepare; entering the context starts it. Raises LocalStackError there."""
        self._options = options
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        """Start everything; on any problem, what was started is ended again."""
        started = time.monotonic()
        with ExitStack() as undo:
            self._start(undo)
            self._exit = undo.pop_all()
        self.startup_seconds = time.monotonic() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything, in the opposite order."""
        self._exit.close()

    def _start(self, undo: ExitStack) -> None:
        options = self._options
        options.logs.mkdir(parents=True, exist_ok=True)
        for log in options.logs.glob("*.log"):
            log.unlink()
        gateway = _bind_gateway(options.port)
        undo.callback(gateway.close)
        moto = Child("local.stack.aws_server", log=options.logs / "aws.log")
        undo.callback(moto.stop)
        zoho_url, zoho = options.zoho_url, None
        if zoho_url is None:
            records = [] if options.records is None else ["--records", str(options.records)]
            zoho = Child("zoho_simulator", ["--port", "0", *records], log=options.logs / "zoho.log")
            undo.callback(zoho.stop)

        # Imported while the other processes start: the SAM translator takes as long as they do.
        from local.stack.deploy import deploy  # noqa: PLC0415
        from local.stack.template import load_template  # noqa: PLC0415

        issuer = TokenIssuer(
            options.parameters.get("JwtIssuer", ISSUER), options.parameters.get("JwtAudience", AUDIENCE)
        )
        zoho_url = zoho_url or (zoho.wait_for_url() if zoho else "")
        template = load_template(options.template, _parameters(gateway.url, zoho_url), options.parameters)
        self.aws = LocalAws(moto.wait_for_url())
        deployment = deploy(template, self.aws, gateway.url)
        self.not_made = deployment.not_made
        if prefix := template.value("ConnectionPrefix"):
            seed.seed_connection(self.aws, prefix, zoho_url)
        self._run(undo, deployment, issuer, gateway)
        control = Control(self.lambdas, issuer)
        undo.callback(control.close)
        self.state = State(
            api_url=gateway.url,
            aws_endpoint_url=self.aws.url,
            region=self.aws.region,
            results_bucket=_output(deployment.outputs, "ResultsBucketName"),
            exports_table=_output(deployment.outputs, "ExportsTableName"),
            zoho_url=zoho_url,
            token=issuer.mint(seed.ACCOUNT, seed.OWNER),
            queues=deployment.queues,
            functions={logical_id: function.name for logical_id, function in deployment.functions.items()},
            outputs=deployment.outputs | {"ApiUrl": gateway.url},
            control_url=control.url,
            logs=str(options.logs.resolve()),
            pid=os.getpid(),
        )

    def _run(self, undo: ExitStack, deployment: "Deployment", issuer: TokenIssuer, gateway: Gateway) -> None:
        """Bring what was deployed to life: functions, routes, queues, schedules."""
        routes = [route for body in deployment.api_bodies for route in read_routes(body, issuer.public_key)]
        limits = {
            logical_id: _environments(function, routes, deployment.mappings)
            for logical_id, function in deployment.functions.items()
        }
        self.lambdas = Lambdas(deployment.functions.values(), limits, self.aws, self._options.logs)
        undo.callback(self.lambdas.close)
        gateway.serve(routes, self.lambdas)
        if self._options.quiet:
            return
        invoke, tick = self.lambdas.invoke, self._options.tick
        sources: list[Poller | Ticker] = [Poller(item, self.aws, invoke) for item in deployment.mappings]
        sources += [Ticker(item, invoke, tick) for item in deployment.schedules]
        for source in sources:
            undo.callback(source.stop)
            source.start()


def _bind_gateway(port: int) -> Gateway:
    try:
        return Gateway(bind(port))
    except OSError as error:
        raise StartError(f"port {port} cannot be used: {error.strerror}") from error


def _parameters(api_url: str, zoho_url: str) -> dict[str, str]:
    """Return the parameters the stack sets by itself."""
    return {
        "ZohoClientId": seed.CLIENT_ID,
        "ZohoClientSecret": seed.CLIENT_SECRET,
        "JwtIssuer": ISSUER,
        "JwtAudience": AUDIENCE,
        "TrustedZohoOrigins": zoho_url,
        "CallbackBaseUrl": api_url,
    }


def _environments(function: Function, routes: Sequence[Route], mappings: Sequence[QueueMapping]) -> int:
    """Return how many environments `function` may have at once."""
    by_http = _HTTP_ENVIRONMENTS if any(route.function == function.arn for route in routes) else 0
    by_queue = sum(item.concurrency for item in mappings if item.function in (function.name, function.arn))
    return max(1, by_http + by_queue)


def _output(outputs: Mapping[str, str], name: str) -> str:
    try:
        return outputs[name]
    except KeyError:
        raise TemplateError(f"the template has no output {name}, which the state file needs") from None
