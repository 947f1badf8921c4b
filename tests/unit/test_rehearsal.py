"""What a rehearsed client has done, and that nothing is sent."""

import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from botocore.session import Session

from crm_export.aws.rehearsal import rehearse
from crm_export.wiring import SERVICES

OPERATIONS = {
    "dynamodb": lambda client: client.get_item(TableName="t", Key={"pk": {"S": "a"}}),
    "events": lambda client: client.put_events(Entries=[{"Source": "s"}]),
    "glue": lambda client: client.get_table(DatabaseName="d", Name="t"),
    "s3": lambda client: client.list_objects_v2(Bucket="b"),
    "secretsmanager": lambda client: client.get_secret_value(SecretId="s"),
    "sqs": lambda client: client.send_message(QueueUrl="http://127.0.0.1:1/q", MessageBody="m"),
}


@pytest.fixture(params=SERVICES)
def service(request):
    return request.param


@pytest.fixture
def client(service):
    """A client of a server that does not exist."""
    return Session().create_client(
        service,
        region_name="eu-central-1",
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_rehearsal_signs_a_request_and_sends_nothing(service, client):
    signed = []
    client.meta.events.register("before-sign", lambda request, **_: signed.append(request.url))
    rehearse(client, service)
    assert len(signed) == 1


def test_call_after_the_rehearsal_is_sent(service, client):
    rehearse(client, service)
    with pytest.raises(EndpointConnectionError):
        OPERATIONS[service](client)
