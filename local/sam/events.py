"""The command `event`: a file of events/ as it would reach the function, for an export that exists."""

import argparse
import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from crm_export.exports.callbacks import sign
from local.host.processes import REPOSITORY, LocalStackError
from local.sam.source import Source, find_source

EVENTS = REPOSITORY / "events"
LATEST = "latest"
# What the files name: an export, the part's job and signature, the bucket, and the caller.
SAMPLE_EXPORT = "20260101T000000Z-0123456789abcdef"
SAMPLE_JOB, SAMPLE_SIGNATURE, SAMPLE_BUCKET = "4150868000004716016", "0" * 64, "results-bucket"
SAMPLE_ACCOUNT, SAMPLE_OWNER = "acct-1", "user-1"
_PART = 1


def event(options: argparse.Namespace) -> int:
    """Print the event, with the ids and the signature of an export of the stack."""
    text = read_sample(options.name)
    text = text.replace(f'"{SAMPLE_ACCOUNT}"', json.dumps(options.account))
    text = text.replace(f'"{SAMPLE_OWNER}"', json.dumps(options.owner))
    if SAMPLE_EXPORT in text:
        try:
            text = fill_in(text, find_source(options), options.export, options.account)
        except (BotoCoreError, ClientError) as error:
            raise LocalStackError(f"the export cannot be read: {error}") from error
    print(text, end="")
    return 0


def read_sample(name: str) -> str:
    """Return the contents of events/<name>.json. Raises LocalStackError if there is no such file."""
    path = EVENTS / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in EVENTS.glob("*.json")))
        raise LocalStackError(f"there is no event {name}; there are {known}")
    return path.read_text()


def fill_in(text: str, source: Source, export_id: str, account: str) -> str:
    """Return the event for part 1 of an export: "latest" is the newest one of the account."""
    table, dynamodb = source.value("EXPORTS_TABLE"), source.client("dynamodb")
    if export_id == LATEST:
        export_id = _latest_export(dynamodb, table, account)
    key = {"pk": {"S": f"EXPORT#{export_id}"}, "sk": {"S": f"PART#{_PART:05d}"}}
    part = dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
    if part is None:
        raise LocalStackError(f"there is no export {export_id}")
    secret = source.client("secretsmanager").get_secret_value(SecretId=source.value("CALLBACK_SECRET_ID"))
    values = {
        SAMPLE_EXPORT: export_id,
        SAMPLE_SIGNATURE: sign(secret["SecretString"].encode(), export_id, _PART),
        SAMPLE_JOB: part.get("job_id", {}).get("S", SAMPLE_JOB),
        SAMPLE_BUCKET: source.value("RESULTS_BUCKET"),
    }
    for sample, value in values.items():
        text = text.replace(sample, value)
    return text


def _latest_export(dynamodb: Any, table: str, account: str) -> str:
    items = dynamodb.query(
        TableName=table,
        IndexName="by-account",
        KeyConditionExpression="account_id = :account",
        ExpressionAttributeValues={":account": {"S": account}},
        ScanIndexForward=False,
        Limit=1,
    )["Items"]
    if not items:
        raise LocalStackError(f"{account} has no export; start one first, e.g. with the event start_contacts")
    export_id: str = items[0]["pk"]["S"].removeprefix("EXPORT#")
    return export_id
