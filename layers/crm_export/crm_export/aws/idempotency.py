"""How an Idempotency-Key is stored: one item, which names the export that the key started.

`DynamoExportTable.create` writes it in the transaction that writes the export.
"""

from datetime import UTC, datetime
from typing import Any

from crm_export.aws.table import Item, Key, attribute, key
from crm_export.exports.model import BoundKey, RequestKey


def key_item(request_key: RequestKey) -> Key:
    """Return the key of the item."""
    return key(f"IDEMPOTENCY#{request_key.account_id}", f"KEY#{request_key.key_hash}")


def put_key(request_key: RequestKey, export_id: str, replaces: str | None) -> dict[str, dict[str, Any]]:
    """Bind a key to an export, if it is free or still bound to the export `replaces`."""
    item = {
        **key_item(request_key),
        "request_hash": attribute(request_key.request_hash),
        "export_id": attribute(export_id),
        "expires_at": attribute(int(request_key.expires_at.timestamp())),
    }
    put: dict[str, Any] = {"Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
    if replaces is not None:
        put["ConditionExpression"] += " OR export_id = :replaces"
        put["ExpressionAttributeValues"] = {":replaces": attribute(replaces)}
    return {"Put": put}


def read_key(item: Item) -> BoundKey:
    """Return what an item contains."""
    return BoundKey(
        request_hash=item["request_hash"]["S"],
        export_id=item["export_id"]["S"],
        expires_at=datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC),
    )
