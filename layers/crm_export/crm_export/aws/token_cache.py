"""Where containers share the access tokens of a grant: item TOKEN#<key> of the exports table."""

from typing import Any

from crm_export.aws.table import Item, Key, Table, key
from crm_export.connections.broker import SharedToken, TokenCache

_KEPT_SECONDS = 86_400


class DynamoTokenCache(TokenCache):
    """The cache in DynamoDB. Times are seconds since the epoch."""

    def __init__(self, client: Any, table: str) -> None:
        self._table = Table(client, table)

    def read(self, grant: str) -> SharedToken:
        item = self._table.get(_key(grant)) or {}
        return SharedToken(
            token=item["access_token"]["S"] if "access_token" in item else None,
            usable_until=_number(item, "usable_until"),
            not_before=_number(item, "not_before"),
        )

    def take_lease(self, grant: str, owner: str, now: float, until: float, rejected: str | None) -> bool:
        return self._table.update(
            _key(grant),
            "SET lease_owner = :owner, lease_until = :until, expires_at = :expires",
            "(attribute_not_exists(lease_until) OR lease_until < :now OR lease_owner = :owner) AND "
            "(attribute_not_exists(access_token) OR usable_until <= :now OR access_token = :rejected) AND "
            "(attribute_not_exists(not_before) OR not_before <= :now)",
            owner=owner,
            until=until,
            now=now,
            rejected=rejected or "",  # no token is empty
            expires=int(now) + _KEPT_SECONDS,
        )

    def put(self, grant: str, owner: str, token: str, usable_until: float) -> None:
        self._table.update(
            _key(grant),
            "SET access_token = :token, usable_until = :until REMOVE lease_owner, lease_until, not_before",
            "lease_owner = :owner",
            token=token,
            until=usable_until,
            owner=owner,
        )

    def give_up(self, grant: str, owner: str, not_before: float) -> None:
        self._table.update(
            _key(grant),
            "SET not_before = :not_before REMOVE lease_owner, lease_until",
            "lease_owner = :owner",
            not_before=float(not_before),
            owner=owner,
        )


def _key(grant: str) -> Key:
    return key(f"TOKEN#{grant}", "TOKEN")


def _number(item: Item, name: str) -> float:
    return float(item[name]["N"]) if name in item else 0.0
