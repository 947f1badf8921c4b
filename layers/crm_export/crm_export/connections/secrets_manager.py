"""Connections as Secrets Manager secrets `<prefix>/<account_id>/<owner>`, one JSON document each."""

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from crm_export.connections.model import Connection
from crm_export.errors import ConnectionMalformed, ConnectionNotFound, StoreUnavailable


def read_secret(client: Any, secret_id: str) -> str:
    """The string of a secret. Raises StoreUnavailable; ResourceNotFound stays a ClientError."""
    try:
        return str(client.get_secret_value(SecretId=secret_id)["SecretString"])
    except BotoCoreError as error:
        raise StoreUnavailable(f"Secrets Manager could not be reached: {type(error).__name__}.") from error


class SecretsManagerConnections:
    """ConnectionStore over Secrets Manager."""

    def __init__(self, client: Any, prefix: str, trusted_origins: tuple[str, ...]) -> None:
        self._client = client
        self._prefix = prefix
        self._trusted_origins = trusted_origins

    def get(self, account_id: str, owner: str) -> Connection:
        """See ConnectionStore."""
        name = f"{self._prefix}/{account_id}/{owner}"
        try:
            document = json.loads(read_secret(self._client, name))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise ConnectionNotFound("Access Token is not Found") from error
            raise
        except ValueError as error:
            raise ConnectionMalformed(f"The secret {name} is not JSON.") from error
        return Connection.from_document(account_id, owner, document, self._trusted_origins)

    def invalidate(self, account_id: str) -> None:
        """See ConnectionStore."""
        for name in self._names_of(account_id):
            document = json.loads(read_secret(self._client, name))
            if document.get("token_invalidated") is not True:
                document["token_invalidated"] = True
                self._client.put_secret_value(SecretId=name, SecretString=json.dumps(document))

    def _names_of(self, account_id: str) -> list[str]:
        prefix = f"{self._prefix}/{account_id}/"
        pages = self._client.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "name", "Values": [prefix]}]
        )
        # The filter matches without regard to case.
        return [
            secret["Name"]
            for page in pages
            for secret in page["SecretList"]
            if secret["Name"].startswith(prefix)
        ]
