"""AdminStore over Secrets Manager."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from crm_export import wiring
from crm_export.connections.secrets_manager import (
    error_code,
    list_names,
    read_secret,
    secret_name,
    store_errors,
)
from crm_export_cli.entries import AdminStore, Entry
from crm_export_cli.exits import CliError


@contextmanager
def _errors() -> Iterator[None]:
    """Raise the package's errors, and AWS's refusals and missing credentials as a CliError of one line."""
    try:
        with store_errors():
            yield
    except ClientError as error:
        message = error.response["Error"].get("Message", "")
        raise CliError(
            f"Secrets Manager refuses {error.operation_name}: {error_code(error)} {message}"
        ) from error
    except BotoCoreError as error:  # such as a missing region or missing credentials
        raise CliError(
            f"AWS cannot be used: {error} Set AWS_PROFILE, or AWS_DEFAULT_REGION and credentials."
        ) from error


class SecretsManagerAdmin(AdminStore):
    """The connections in Secrets Manager."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        with _errors():
            self._client = wiring.boto3_client("secretsmanager")

    def put(self, account_id: str, owner: str, token: dict[str, str]) -> bool:
        name = secret_name(self._prefix, account_id, owner)
        document = json.dumps({"account_id": account_id, "owner": owner, "token": token})
        with _errors():
            try:
                stored = self._client.describe_secret(SecretId=name)
            except self._client.exceptions.ResourceNotFoundException:
                self._client.create_secret(Name=name, SecretString=document)
                return True
            if "DeletedDate" in stored:
                self._client.restore_secret(SecretId=name)
            self._client.put_secret_value(SecretId=name, SecretString=document)
        return False

    def entries(self, account_id: str | None, owner: str | None = None) -> list[Entry]:
        if account_id is not None and owner is not None:
            names = [secret_name(self._prefix, account_id, owner)]
        else:
            prefix = f"{self._prefix}/{account_id}/" if account_id else f"{self._prefix}/"
            with _errors():
                names = sorted(list_names(self._client, prefix))
        return [entry for entry in map(self._entry, names) if entry is not None]

    def delete(self, account_id: str, owner: str) -> int:
        count = len(self.entries(account_id, owner))
        if count:
            name = secret_name(self._prefix, account_id, owner)
            with _errors():
                self._client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        return count

    def _entry(self, name: str) -> Entry | None:
        identities = name.removeprefix(f"{self._prefix}/").split("/")
        if len(identities) != 2:  # not a connection
            return None
        document: Any = None
        with _errors():
            try:
                document = json.loads(read_secret(self._client, name))
            except (
                self._client.exceptions.ResourceNotFoundException,
                self._client.exceptions.InvalidRequestException,
            ):
                return None
            except (KeyError, ValueError):  # reported as unusable
                pass
        return Entry(identities[0], identities[1], document if isinstance(document, dict) else None)
