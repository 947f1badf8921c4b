"""The control API of a running stack: tokens, reports, and Lambda's Invoke and configuration for boto3.

Its URL contains a secret that only the state file has: a web page open in a browser can reach loopback, too.
"""

import dataclasses
import json
import secrets
from http import HTTPStatus

from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from local.edge.tokens import TokenIssuer
from local.host.http import Server
from local.host.processes import LocalStackError
from local.runtime.lambdas import Lambdas


class Control:
    """Serves the control API until it is closed."""

    def __init__(self, lambdas: Lambdas, issuer: TokenIssuer) -> None:
        self._lambdas, self._issuer = lambdas, issuer
        secret = secrets.token_urlsafe(24)
        function = f"/{secret}/2015-03-31/functions/<name>"
        self._routes = Map(
            [
                Rule(f"{function}/invocations", endpoint=self._invoke, methods=["POST"]),
                Rule(f"{function}/configuration", endpoint=self._configuration, methods=["GET", "PUT"]),
                Rule(f"/{secret}/token", endpoint=self._token, methods=["POST"]),
                Rule(f"/{secret}/reports", endpoint=self._reports, methods=["GET"]),
            ]
        )
        self._server = Server(self._handle)
        self.url = f"{self._server.url}/{secret}"

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _handle(self, request: Request) -> Response:
        endpoint, values = self._routes.bind_to_environ(request.environ).match()
        try:
            response: Response = endpoint(request, **values)
        except (LocalStackError, ValueError, TypeError, KeyError) as error:
            return _json({"Message": str(error)}, HTTPStatus.BAD_REQUEST)
        return response

    def _invoke(self, request: Request, name: str) -> Response:
        event, kind = request.get_data() or b"{}", request.headers.get("X-Amz-Invocation-Type")
        if kind == "DryRun":
            self._lambdas.require(name)
            return Response(status=HTTPStatus.NO_CONTENT)
        if kind == "Event":
            self._lambdas.start(name, event)
            return Response(status=HTTPStatus.ACCEPTED)
        outcome = self._lambdas.invoke(name, event)
        headers = {"X-Amz-Executed-Version": "$LATEST", "X-Amzn-RequestId": outcome.report.request_id}
        if outcome.failed:
            headers["X-Amz-Function-Error"] = "Unhandled"
        return Response(outcome.payload, headers=headers, content_type="application/json")

    def _configuration(self, request: Request, name: str) -> Response:
        """Get or update a function's configuration: Timeout and Environment.

        https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html
        """
        changes = json.loads(request.get_data() or b"{}")
        if unknown := changes.keys() - {"Timeout", "Environment"}:
            raise ValueError(f"{', '.join(sorted(unknown))} cannot be changed; allowed: Timeout, Environment")
        variables = changes.get("Environment", {}).get("Variables")
        function = self._lambdas.configure(name, changes.get("Timeout"), variables)
        return _json(
            {
                "FunctionName": function.name,
                "FunctionArn": function.arn,
                "Timeout": function.timeout,
                "Environment": {"Variables": function.environment},
            }
        )

    def _token(self, request: Request) -> Response:
        order = json.loads(request.get_data())
        token = self._issuer.mint(order["account"], order["owner"], order["claims"], int(order["expires_in"]))
        return _json({"token": token})

    def _reports(self, _request: Request) -> Response:
        return _json(
            [dataclasses.asdict(report) | {"line": report.line()} for report in list(self._lambdas.reports)]
        )


def _json(body: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
