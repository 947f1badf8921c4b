"""ConnectionStore over Secrets Manager: secrets `<prefix>/<account_id>/<owner>`, one JSON document each."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as BotoConnectionError

from crm_export.connections.model import Connection, ConnectionStore, has_grant
from crm_export.errors import (
    ConfigurationError,
    ConnectionMalformed,
    ConnectionNotFound,
    StoreTimeout,
    StoreUnavailable,
)

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html
_THROTTLED = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
# InvalidRequestException is the response for a secret that is scheduled for deletion.
_ABSENT = {"ResourceNotFoundException", "InvalidRequestException"}
# The label AWSCURRENT is no longer where it was: another version was stored in the meantime.
_REPLACED = {"InvalidParameterException", *_ABSENT}
_CURRENT = "AWSCURRENT"
_ROLE = re.compile(r":assumed-role/([^/ ]+)/")
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
    return [secret["Name"] for secret in _secrets(client, prefix)]


def _secrets(client: Any, prefix: str) -> Iterator[dict[str, Any]]:
    with store_errors():
        pages = client.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [prefix]}])
        for page in pages:
            # The filter ignores case.
            yield from (secret for secret in page["SecretList"] if secret["Name"].startswith(prefix))


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
            self._mark(name, connection.stored_grant())

    def mark_account(self, connection: Connection) -> None:
        own = secret_name(self._prefix, connection.account_id, connection.owner)
        for name in self._names(connection):
            self._mark(name, connection.stored_grant() if name == own else None)

    def _names(self, connection: Connection) -> list[str]:
        return list_names(self._client, secret_name(self._prefix, connection.account_id, ""))

    def _mark(self, name: str, grant: dict[str, str] | None) -> None:
        """Mark the current version of a secret, if its token has all fields of `grant` (None: any token).

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
        if grant is not None and not has_grant(document, grant):
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
            if error_code(error) in _ABSENT or self._is_hidden(name, error):
                account_id, _, owner = name.removeprefix(f"{self._prefix}/").partition("/")
                raise ConnectionNotFound(account_id, owner) from error
            raise
        except (KeyError, ValueError, RecursionError) as error:  # binary, or not JSON
            raise ConnectionMalformed(f"The secret {name} is not a JSON document.") from error

    def _is_hidden(self, name: str, error: ClientError) -> bool:
        """True if access was denied to a secret that does not exist.

        A policy may deny access to what does not exist, too, so the list of secrets decides. Raises
        ConfigurationError if the secret exists.
        """
        if error_code(error) != "AccessDeniedException":
            return False
        found = next((secret for secret in _secrets(self._client, name) if secret["Name"] == name), None)
        if found is None:
            return True
        role = _ROLE.search(str(error))
        key = found.get("KmsKeyId") or "aws/secretsmanager"
        raise ConfigurationError(
            f"The role {role[1] if role else 'of this function'} may not read the secret {name}. It needs "
            f"secretsmanager:GetSecretValue for the secret and kms:Decrypt for its key, {key}.",
            remedy="Set SecretsKmsKeyArn to this key and deploy again. See that no other policy denies it.",
        ) from error
