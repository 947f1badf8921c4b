"""ConnectionStore over Secrets Manager: secrets `<prefix>/<account_id>/<owner>`, one JSON document each."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as BotoConnectionError

from crm_export.connections.model import Connection, ConnectionStore
from crm_export.errors import ConnectionMalformed, ConnectionNotFound, StoreTimeout, StoreUnavailable

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html
_THROTTLED = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
# InvalidRequestException is the response for a secret that is scheduled for deletion.
_ABSENT = {"ResourceNotFoundException", "InvalidRequestException"}
# The label AWSCURRENT is no longer where it was: another version was stored in the meantime.
_REPLACED = {"InvalidParameterException", *_ABSENT}
_CURRENT = "AWSCURRENT"
_MARKED = "crm-export-marked"  # the staging label of a version that is about to become the current one


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn network failures, throttling and 5xx into ours. Any other refusal passes as a ClientError."""
    try:
        yield
    except (ConnectTimeoutError, ReadTimeoutError) as error:
        raise StoreTimeout("Secrets Manager did not respond in time.") from error
    except (BotoConnectionError, HTTPClientError) as error:
        raise StoreUnavailable(f"Secrets Manager could not be reached: {type(error).__name__}.") from error
    except ClientError as error:
        code, status = error_code(error), error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in _THROTTLED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StoreUnavailable(f"Secrets Manager failed: {code}.") from error
        raise


def error_code(error: ClientError) -> str:
    """Return AWS's name of an error."""
    return error.response["Error"]["Code"]


def read_secret(client: Any, secret_id: str) -> str:
    """Return the string of a secret. Raises StoreUnavailable; ResourceNotFound passes as a ClientError."""
    return read_version(client, secret_id)[0]


def read_version(client: Any, secret_id: str) -> tuple[str, str]:
    """Return the string of a secret and the id of its version. Raises as read_secret."""
    with store_errors():
        secret = client.get_secret_value(SecretId=secret_id)
    return str(secret["SecretString"]), secret["VersionId"]


def read_rotated_secret(client: Any, secret_id: str) -> tuple[str, str | None]:
    """Return the string of a secret and the string before its last change, or None. Raises as read_secret.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
    """
    current = read_secret(client, secret_id)
    try:
        with store_errors():
            previous = client.get_secret_value(SecretId=secret_id, VersionStage="AWSPREVIOUS")
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        return current, None  # the secret was never changed
    return current, previous.get("SecretString")


def list_names(client: Any, prefix: str) -> list[str]:
    """Return the names of all secrets that begin with the prefix. Raises StoreUnavailable."""
    with store_errors():
        pages = client.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [prefix]}])
        # The filter ignores case.
        return [
            secret["Name"]
            for page in pages
            for secret in page["SecretList"]
            if secret["Name"].startswith(prefix)
        ]


def secret_name(prefix: str, account_id: str, owner: str) -> str:
    """Return the name of a connection's secret."""
    return f"{prefix}/{account_id}/{owner}"


class SecretsManagerConnections(ConnectionStore):
    """The connections in Secrets Manager."""

    def __init__(self, client: Any, prefix: str, trusted_origins: tuple[str, ...]) -> None:
        self._client = client
        self._prefix = prefix
        self._trusted_origins = trusted_origins

    def get(self, account_id: str, owner: str) -> Connection:
        document, _ = self._document(secret_name(self._prefix, account_id, owner))
        return Connection.from_document(account_id, owner, document, self._trusted_origins)

    def mark(self, connection: Connection) -> None:
        for name in self._names(connection):
            self._mark(name, connection.refresh_token)

    def mark_account(self, connection: Connection) -> None:
        own = secret_name(self._prefix, connection.account_id, connection.owner)
        for name in self._names(connection):
            self._mark(name, connection.refresh_token if name == own else None)

    def _names(self, connection: Connection) -> list[str]:
        return list_names(self._client, secret_name(self._prefix, connection.account_id, ""))

    def _mark(self, name: str, refresh_token: str | None) -> None:
        """Mark the current version of a secret, if its refresh token is `refresh_token` (None: any).

        A secret that is not a JSON object is skipped.
        The marked document becomes current only in place of the version that was read: AWS refuses to move
        the label AWSCURRENT from a version that no longer has it.
        https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html
        """
        try:
            document, version = self._document(name)
        except (ConnectionNotFound, ConnectionMalformed):  # deleted after it was listed, or not JSON
            return
        if not isinstance(document, dict) or not document or document.get("token_invalidated") is True:
            return
        if refresh_token is not None and not _has(document, refresh_token):
            return
        marked = json.dumps({**document, "token_invalidated": True})
        with store_errors():
            new = self._client.put_secret_value(SecretId=name, SecretString=marked, VersionStages=[_MARKED])
        try:
            with store_errors():
                self._client.update_secret_version_stage(
                    SecretId=name,
                    VersionStage=_CURRENT,
                    RemoveFromVersionId=version,
                    MoveToVersionId=new["VersionId"],
                )
        except ClientError as error:
            if error_code(error) not in _REPLACED:
                raise

    def _document(self, name: str) -> tuple[Any, str]:
        """Return the JSON of a secret and its version. Raises ConnectionNotFound, ConnectionMalformed, ..."""
        try:
            text, version = read_version(self._client, name)
            return json.loads(text), version
        except ClientError as error:
            if error_code(error) in _ABSENT:
                raise ConnectionNotFound("Access Token is not Found") from error
            raise
        except (KeyError, ValueError, RecursionError) as error:  # binary, or not JSON
            raise ConnectionMalformed(f"The secret {name} is not a JSON document.") from error


def _has(document: dict[str, Any], refresh_token: str) -> bool:
    token = document.get("token")
    return isinstance(token, dict) and token.get("refresh_token") == refresh_token
