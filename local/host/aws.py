"""AWS, simulated by moto: the server process (`python -m local.host.aws`) and the boto3 clients for it.

moto runs in its own process. In ours it would hold the interpreter lock while it copies megabytes of S3
parts, and every call of the gateway and the pollers would wait.
"""

import argparse
import gc
import importlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import botocore.session
from botocore.config import Config
from werkzeug.serving import make_server

from local.host import cloudwatch
from local.host.events import deliver_events
from local.host.http import HOST, OneSend
from local.host.replica import Replica, find_table, lagging

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"
# Where botocore looks for the user's profiles and credentials: nowhere.
_NO_PROFILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def closed_session() -> boto3.session.Session:
    """Return a session that cannot find real credentials, whatever the caller's environment holds."""
    return boto3.session.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - moto accepts anything
        region_name=REGION,
        botocore_session=botocore.session.Session(session_vars=_NO_PROFILES),
    )


class LocalAws:
    """moto's endpoint and the clients for it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: Any = closed_session()

    def client(self, service: str, **options: Any) -> Any:
        """Return a boto3 client of `service`; `options` are those of botocore's Config."""
        config = Config(
            connect_timeout=5, retries={"mode": "standard"}, s3={"addressing_style": "path"}, **options
        )
        return self._session.client(service, endpoint_url=self.url, config=config)


def one_at_a_time(app: "WSGIApplication") -> "WSGIApplication":
    """Serialize the DynamoDB calls of moto.

    If a transaction's condition fails, moto restores a whole copy of the table and so loses what other calls
    wrote meanwhile. DynamoDB never loses an acknowledged write.
    """
    lock = Lock()

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB_"):
            return app(environ, start_response)
        with lock:
            return list(app(environ, start_response))

    return serve


def move_current_label() -> None:
    """Let UpdateSecretVersionStage decide which version of a secret is current.

    moto moves the label AWSCURRENT, but a later GetSecretValue still returns the version that had it before.
    """
    from moto.secretsmanager.models import SecretsManagerBackend  # noqa: PLC0415 - as below

    update = SecretsManagerBackend.update_secret_version_stage

    def update_and_follow(
        self: Any, secret_id: str, version_stage: str, remove_from_version_id: str, move_to_version_id: str
    ) -> Any:
        updated = update(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
        if version_stage == "AWSCURRENT" and move_to_version_id:
            self.secrets[secret_id].set_default_version_id(move_to_version_id)
        return updated

    setattr(SecretsManagerBackend, update.__name__, update_and_follow)


class QueuedMessage(Protocol):
    """What the order of a queue depends on. A message in flight is not visible."""

    @property
    def group_id(self) -> str | None:
        """The MessageGroupId."""

    @property
    def visible(self) -> bool:
        """False while the message is in flight."""


def fairest_first[M: QueuedMessage](visible: list[M], received: Iterable[QueuedMessage]) -> list[M]:
    """Sort messages as an SQS fair queue does: first those whose group has the fewest messages in flight."""
    in_flight = Counter(message.group_id for message in list(received) if not message.visible)
    return sorted(visible, key=lambda message: in_flight[message.group_id] if message.group_id else 0)


def make_queues_fair() -> None:
    """Let moto deliver the messages of standard queues by their MessageGroupId, as SQS does."""
    from moto.sqs.models import Queue  # noqa: PLC0415 - moto reads its settings at import

    in_order: Any = Queue.messages
    Queue.messages = property(  # type: ignore[assignment,method-assign]
        lambda queue: fairest_first(in_order.fget(queue), queue.pending_messages)
    )


def keep_trace_headers() -> None:
    """Let a message carry the trace header of the request that sent it, as SQS does.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    """
    import flask  # noqa: PLC0415 - moto's, in its process only
    from moto.sqs.models import SQSBackend  # noqa: PLC0415 - moto reads its settings at import

    send: Any = SQSBackend.send_message

    def send_with_header(self: Any, *arguments: Any, system_attributes: Any = None, **options: Any) -> Any:
        header = flask.request.headers.get("X-Amzn-Trace-Id") if flask.has_request_context() else None
        if header and "AWSTraceHeader" not in (system_attributes or {}):
            trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": header}}
            system_attributes = {**(system_attributes or {}), **trace}
        return send(self, *arguments, system_attributes=system_attributes, **options)

    backend: Any = SQSBackend
    backend.send_message = send_with_header


def spare_cpu() -> None:
    """Replace what costs moto a third of its CPU time in a flood, by the same in less time.

    For each request it lists the folders of its package, whose names do not change. At each message that is
    sent it compares the times of all messages of the queue, by a clock that can be frozen in tests.
    """
    import moto.backends  # noqa: PLC0415 - moto reads its settings at import
    import moto.sqs.models  # noqa: PLC0415

    names = tuple(moto.backends.list_of_moto_modules())
    setattr(moto.backends, "list_of_moto_modules", lambda: names)  # noqa: B010
    setattr(moto.sqs.models, "unix_time_millis", lambda: time.time() * 1000)  # noqa: B010


@contextmanager
def fast_imports() -> Iterator[None]:
    """Halve the time in which moto's CloudFormation is imported, which imports all services.

    EC2 stays without its instance types and regions: no stack here has an instance. The garbage collector is
    off, because modules are no garbage.
    """
    import moto.utilities.utils as moto_utilities  # noqa: PLC0415 - moto reads its settings at import

    load, regions = moto_utilities.load_resource, boto3.Session.get_available_regions

    def load_others(path: str) -> Any:
        return {} if path.startswith("ec2/resources/instance_type") else load(path)

    def regions_of_others(session: boto3.Session, service_name: str, **options: Any) -> list[str]:
        return [] if service_name == "ec2" else regions(session, service_name, **options)

    gc.disable()
    try:
        setattr(moto_utilities, "load_resource", load_others)  # noqa: B010
        setattr(boto3.Session, "get_available_regions", regions_of_others)  # noqa: B010
        yield
    finally:
        setattr(moto_utilities, "load_resource", load)  # noqa: B010
        setattr(boto3.Session, "get_available_regions", regions)  # noqa: B010
        gc.freeze()
        gc.enable()


def main() -> None:
    """Serve every AWS API on a free port, and print its URL."""
    parser = argparse.ArgumentParser(prog="python -m local.host.aws")
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--lag", type=float, default=0, help="of DynamoDB's replicas, in seconds")
    options = parser.parse_args()
    # Without this, any web page open in a browser could read the stack's secrets.
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - moto reads its settings at import
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )

    spare_cpu()
    make_queues_fair()
    keep_trace_headers()
    deliver_events()

    class Handler(OneSend, MotoRequestHandler):
        """moto's own request handler, sending each response in one piece."""

    move_current_label()
    replica = Replica(find_table(ACCOUNT_ID, REGION), options.lag)
    app = one_at_a_time(lagging(DomainDispatcherApplication(create_backend_app), replica))
    server = make_server(options.host, 0, app, threaded=True, request_handler=Handler)
    # moto signs and stores its own URLs with this port.
    os.environ["MOTO_PORT"] = str(server.server_port)
    print(f"moto on http://{options.host}:{server.server_port}", flush=True)
    # A second of imports, while the stack translates the template; its first call waits in line.
    with fast_imports():
        importlib.import_module("moto.cloudformation.parsing")
    cloudwatch.watch(ACCOUNT_ID, REGION)
    server.serve_forever()


if __name__ == "__main__":
    main()
