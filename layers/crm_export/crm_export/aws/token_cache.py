"""TokenCache over the exports table: where containers share the access tokens of a grant."""

from typing import Any

from crm_export.connections.broker import SharedToken

_KEPT_SECONDS = 86_400


class DynamoTokenCache:
    """TokenCache over the exports table: item TOKEN#<key>, which expires after a day."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def read(self, key: str) -> SharedToken:
        """See TokenCache."""
        response = self._client.get_item(TableName=self._table, Key=self._key(key), ConsistentRead=True)
        item = response.get("Item", {})
        return SharedToken(
            token=item["access_token"]["S"] if "access_token" in item else None,
            usable_until=_number(item, "usable_until"),
            not_before=_number(item, "not_before"),
        )

    def take_lease(self, key: str, owner: str, now: float, until: float) -> bool:
        """See TokenCache."""
        return self._update(
            key,
            "SET lease_owner = :owner, lease_until = :until, expires_at = :expires",
            "(attribute_not_exists(lease_until) OR lease_until < :now OR lease_owner = :owner) AND "
            "(attribute_not_exists(access_token) OR usable_until <= :now) AND "
            "(attribute_not_exists(not_before) OR not_before <= :now)",
            {":owner": owner, ":until": until, ":now": now, ":expires": int(now) + _KEPT_SECONDS},
        )

    def put(self, key: str, owner: str, token: str, usable_until: float) -> None:
        """See TokenCache."""
        self._update(
            key,
            "SET access_token = :token, usable_until = :until REMOVE lease_owner, lease_until, not_before",
            "lease_owner = :owner",
            {":token": token, ":until": usable_until, ":owner": owner},
        )

    def give_up(self, key: str, owner: str, not_before: float) -> None:
        """See TokenCache."""
        self._update(
            key,
            "SET not_before = :not_before REMOVE lease_owner, lease_until",
            "lease_owner = :owner",
            {":not_before": not_before, ":owner": owner},
        )

    def discard(self, key: str, token: str) -> None:
        """See TokenCache."""
        self._update(key, "REMOVE access_token, usable_until", "access_token = :token", {":token": token})

    def _key(self, key: str) -> dict[str, Any]:
        return {"pk": {"S": f"TOKEN#{key}"}, "sk": {"S": "TOKEN"}}

    def _update(self, key: str, update: str, condition: str, values: dict[str, Any]) -> bool:
        typed = {
            name: {"S": value} if isinstance(value, str) else {"N": str(value)}
            for name, value in values.items()
        }
        try:
            self._client.update_item(
                TableName=self._table,
                Key=self._key(key),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=typed,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _number(item: dict[str, Any], name: str) -> float:
    return float(item[name]["N"]) if name in item else 0.0
