"""One Zoho organisation: its state and routes. `handle` responds to a request without a server."""

import re
from dataclasses import replace
from email.utils import formatdate

from zoho_simulator.bulk.bulk_read import BulkRead
from zoho_simulator.bulk.callbacks import Callbacks
from zoho_simulator.bulk.jobs import Jobs
from zoho_simulator.config import Environment, SimulatorConfig
from zoho_simulator.data.changes import Changes
from zoho_simulator.errors import ZohoError
from zoho_simulator.faults import Fault, Faults, parse_job_faults, quote_request
from zoho_simulator.http.access import Limits, authenticate, stale_token_response
from zoho_simulator.http.journal import Journal
from zoho_simulator.http.oauth import Accounts
from zoho_simulator.records.deleted import DeletedApi
from zoho_simulator.records.metadata import fields_metadata, modules_metadata, organisation, users
from zoho_simulator.records.order import Orders
from zoho_simulator.records.records_api import RecordsApi
from zoho_simulator.tokens import Call, PageTokens, TokenStore
from zoho_simulator.wire import Request, Response, json_response

_CRM = re.compile(r"/crm/(?P<bulk>bulk/)?(?P<version>v[0-9][0-9.]*)/(?P<rest>.+)").fullmatch


class Organisation:
    """The state of an organisation. `url` is its API domain; `faults` decides which faults occur."""

    def __init__(
        self, config: SimulatorConfig, environment: Environment, *, url: str, faults: Faults | None = None
    ) -> None:
        self.config = config
        self.url = url
        real = environment.clock
        environment = replace(environment, clock=lambda: real() + config.clock_skew_seconds)
        self.faults = faults or Faults()
        self.tokens = TokenStore(config, environment)
        self.accounts = Accounts(config, environment, self.tokens, url)
        self.page_tokens = PageTokens(config, environment)
        self.changes = Changes(config, environment.clock)
        self.jobs = Jobs(config, environment.clock)
        self.journal = Journal()
        callbacks = Callbacks(config, environment, self.faults)
        self.bulk_read = BulkRead(
            config, environment.clock, self.changes, self.jobs, self.page_tokens, callbacks
        )
        self._records = RecordsApi(
            config, environment.clock, self.changes, self.page_tokens, Orders(config, environment.rng)
        )
        self._deleted = DeletedApi(config, environment.clock, self._records)
        self._limits = Limits(config, environment.clock)
        self._clock = environment.clock

    @property
    def credits_used(self) -> int:
        """The API credits used in the last 24 hours."""
        return self._limits.used

    def handle(self, request: Request) -> Response:
        """Return the response to a request, and note both in the journal.

        Waits for nothing: the transport has to apply the response's `delay`, `cut_after` and `drop`.
        """
        received = self._clock()
        fault = self.faults.take("request", request.method, request.path)
        response = Response()
        if fault.drop != "before":
            if fault.process or not fault.status:
                response = self._process(request, fault)
                response.headers.update(fault.headers)
            if fault.status:
                response = _scripted(fault)
            if fault.quote:
                quote_request(request, response, fault.quote)
        for module, change in fault.change.items():
            self.changes.apply(module, change)
        response.delay, response.cut_after, response.drop = fault.delay, fault.cut_after, bool(fault.drop)
        response.headers.setdefault("Date", formatdate(self._clock(), usegmt=True))
        self.journal.add(request, response, received)
        return response

    def _process(self, request: Request, fault: Fault) -> Response:
        try:
            return self.accounts.handle(request) or self._crm(request, fault)
        except ZohoError as error:
            if error.code == "INVALID_TOKEN":
                return stale_token_response(self.config)
            return json_response(error.status, error.body())

    def _crm(self, request: Request, fault: Fault) -> Response:
        path = _CRM(request.path)
        if not path:
            raise ZohoError("INVALID_URL_PATTERN")
        call = Call(path["version"], authenticate(self.tokens, request), request)
        if call.version not in self.config.versions:
            raise ZohoError("API_NOT_SUPPORTED", {"supported_version": self.config.versions[-1]})
        parts = path["rest"].split("/")
        with self._limits.one_request():
            self._limits.spend(request)
            response = self._bulk(call, parts, fault) if path["bulk"] else self._modules(call, parts)
        response.headers.update(self._limits.headers())
        return response

    def _bulk(self, call: Call, parts: list[str], fault: Fault) -> Response:
        match call.request.method, parts:
            case "POST", ["read"]:
                return self._create(call, fault)
            case "GET", ["read", job_id]:
                call.grant.require("bulk")
                return self.bulk_read.details(call, job_id)
            case "GET", ["read", job_id, "result"]:
                call.grant.require("bulk")
                self._limits.download()
                return self.bulk_read.result(job_id)
            case _, ["read"] | ["read", _] | ["read", _, "result"]:
                raise ZohoError("INVALID_REQUEST_METHOD")
            case _:
                raise ZohoError("INVALID_URL_PATTERN")

    def _create(self, call: Call, fault: Fault) -> Response:
        try:
            call.grant.require("bulk")
            return self.bulk_read.create(call, parse_job_faults(fault.job))
        except ZohoError as error:
            if self.config.bulk_error_envelope == "flat":
                raise
            return json_response(error.status, {"data": [error.body()]})

    def _modules(self, call: Call, parts: list[str]) -> Response:  # noqa: PLR0911 (a route each)
        if call.request.method != "GET":
            raise ZohoError("INVALID_REQUEST_METHOD")
        match parts:
            case ["settings", "modules"]:
                return modules_metadata(call)
            case ["org" | "users" as what]:
                return organisation(self.config, call) if what == "org" else users(call)
            case ["settings", "fields"]:
                return fields_metadata(self.config, call)
            case [module]:
                return self._records.page(call, module)
            case [module, "deleted"]:
                return self._deleted.page(call, module)
            case [module, "actions", "count"]:
                return self._records.count(call, module)
            case [module, record_id] if record_id.isdigit():
                return self._records.one(call, module, record_id)
            case _:
                raise ZohoError("INVALID_URL_PATTERN")


def _scripted(fault: Fault) -> Response:
    if isinstance(fault.body, str):
        media_type = fault.headers.get("Content-Type", "text/html;charset=UTF-8")
        return Response(fault.status, {**fault.headers, "Content-Type": media_type}, fault.body.encode())
    if fault.body is None:
        return Response(fault.status, dict(fault.headers))
    return json_response(fault.status, fault.body, fault.headers)
