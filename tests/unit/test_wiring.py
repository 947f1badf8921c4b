"""What a container builds once and keeps between invocations."""

import ast
import json
import os
import re
from dataclasses import fields, replace
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
import responses

from crm_export import wiring
from crm_export.api.requests import parse_page_request
from crm_export.connections.model import Connection
from crm_export.errors import ZohoClientRejected
from crm_export.settings import ExportHandlerSettings
from crm_export.system import System
from crm_export.wiring import SERVICES, Container, boto3_client, s3_options
from crm_export.zoho.grants import RefreshToken

ENV = {field.name.upper(): "1" for field in fields(ExportHandlerSettings)} | {"CONNECTION_CACHE_SECONDS": "0"}


class CountingContainer(Container):
    """A container with one connection, which records for which connections a client was built."""

    def __init__(self):
        super().__init__(ENV, aws=lambda service: None)
        self.connection = Connection("a", "o", "https://x", "https://y", RefreshToken("refresh"))
        self.clients = []

    def _connections(self, settings):
        return self

    def _client_factory(self, settings):
        return self._client

    def get(self, account_id, owner):
        return self.connection

    def _client(self, store, connection, successor):
        self.clients.append(connection)
        return object()


def test_grant_keeps_its_client_and_a_new_refresh_token_gets_a_new_one():
    container = CountingContainer()
    first = container.connection
    container.handler_zoho("a", "o")
    container.handler_zoho("a", "o")
    assert container.clients == [first]
    container.connection = replace(first, grant=RefreshToken("another"))
    container.handler_zoho("a", "o")
    assert container.clients == [first, container.connection]


# --- the addresses of links ---


@pytest.fixture
def link(monkeypatch):
    """A function that returns the URL that we give for an object, with these environment variables."""

    def url(**variables):
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            **variables,
        }.items():
            monkeypatch.setenv(name, value)
        boto3.setup_default_session()
        client = boto3_client.__wrapped__("s3")
        target = {"Bucket": "results", "Key": "a/b"}
        return urlsplit(client.generate_presigned_url("get_object", Params=target))

    yield url
    boto3.setup_default_session()


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "results.s3.us-east-1.amazonaws.com"),
        ("eu-central-1", "results.s3.eu-central-1.amazonaws.com"),
        ("me-south-1", "results.s3.me-south-1.amazonaws.com"),
        ("cn-north-1", "results.s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "results.s3.us-gov-west-1.amazonaws.com"),
    ],
)
def test_link_has_the_regional_host_of_the_bucket(link, region, host):
    url = link(AWS_DEFAULT_REGION=region)
    assert (url.scheme, url.netloc, url.path) == ("https", host, "/a/b")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_bucket_at_an_endpoint_of_its_own_is_part_of_the_path(link, variable):
    url = link(AWS_DEFAULT_REGION="eu-central-1", **{variable: "http://stack.local:5000"})
    assert (url.netloc, url.path) == ("stack.local:5000", "/results/a/b")


# --- the AWS services of the functions ---


def test_functions_call_exactly_the_services_whose_data_the_layer_has():
    tree = ast.parse(Path(wiring.__file__).read_text())
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {
        match[1] for call in calls if (match := re.match(r"(?:partial\()?self\._aws(?:\(|, )'(\w+)'", call))
    }
    assert named == set(SERVICES)


# --- the secrets of the stack's own ---


class SecretsManager:
    """A boto3 client with the secrets of the stack's own and one connection."""

    def __init__(self):
        self.client_secret = "old-s3cret"
        self.reads = []

    def get_secret_value(self, SecretId):
        self.reads.append(SecretId)
        ours = {"client_id": "1000.ID", "client_secret": self.client_secret}
        stored = {"token": {"refresh_token": "1000.r", "api_domain": "https://www.zohoapis.eu"}}
        return {"SecretString": json.dumps(ours if SecretId == "client" else stored), "VersionId": "1"}


@pytest.fixture
def zoho_that_wants_the_new_secret():
    def token(request):
        right = "client_secret=new-s3cret" in request.body
        return 200, {}, '{"access_token": "1000.a"}' if right else '{"error": "invalid_client"}'

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback("POST", "https://accounts.zoho.eu/oauth/v2/token", token)
        mock.get("https://www.zohoapis.eu/crm/v2/Contacts", json={"data": [{"id": "1"}], "info": {}})
        yield mock


def test_corrected_client_secret_is_used_by_a_warm_container_at_once(zoho_that_wants_the_new_secret):
    aws, now = SecretsManager(), 100.0
    env = ENV | {"ZOHO_CLIENT_SECRET_ID": "client", "ACCESS_TOKEN_CACHE": "off"}
    container = Container(env, aws=lambda service: aws, system=System(monotonic=lambda: now))

    def call():
        records = container.handler_zoho("acct-1", "user-1").records
        return records.get_page("v2", "Contacts", parse_page_request("v2", {})).data.text

    with pytest.raises(ZohoClientRejected):
        call()
    now += 10
    aws.client_secret = "new-s3cret"
    assert call() == '[{"id": "1"}]'
    assert aws.reads.count("client") == 3
    now += 299
    call()
    assert aws.reads.count("client") == 3
    now += 1
    call()
    assert aws.reads.count("client") == 4


@pytest.mark.parametrize("endpoint", [{}, {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}])
def test_payloads_to_s3_are_not_signed_because_their_crc32_is_verified(endpoint):
    assert s3_options(endpoint)["payload_signing_enabled"] is False


def test_client_of_aws_does_not_use_awscrt_whose_signer_copies_payloads(monkeypatch):
    monkeypatch.delenv("BOTO_DISABLE_CRT", raising=False)
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "us-east-1")
    boto3_client.__wrapped__("sqs")
    assert os.environ["BOTO_DISABLE_CRT"] == "true"
