"""Options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer

from crm_export.connections.model import require_identity
from crm_export.errors import CallerNotIdentified


class Store(StrEnum):
    """Where a stack's connections are."""

    SECRETS_MANAGER = "secretsmanager"
    MONGO = "mongo"


def _identity(claim: str, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return require_identity(claim, value)
    except CallerNotIdentified as error:
        raise typer.BadParameter(f"the functions would refuse it: {error.message}") from error


StoreOption = Annotated[
    Store,
    typer.Option(
        "--store",
        help="`secretsmanager` uses AWS credentials and region as the AWS CLI does (AWS_PROFILE, "
        "AWS_DEFAULT_REGION, ...); `mongo` reads its URI, which names the database, from an environment "
        "variable.",
    ),
]
PrefixOption = Annotated[
    str,
    typer.Option(
        "--prefix", help="secretsmanager: the stack's ConnectionPrefix, or its name/connections", metavar="P"
    ),
]
MongoOption = Annotated[
    str,
    typer.Option(
        "--mongo-uri-env", help="mongo: the environment variable that contains the URI", metavar="NAME"
    ),
]
AccountOption = Annotated[
    str, typer.Option("--account", callback=lambda value: _identity("account_id", value), metavar="A")
]
OptionalAccount = Annotated[
    str | None,
    typer.Option(
        "--account",
        callback=lambda value: _identity("account_id", value),
        metavar="A",
        help="of this account only",
    ),
]
OwnerOption = Annotated[
    str, typer.Option("--owner", callback=lambda value: _identity("uid", value), metavar="O")
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-origin",
        metavar="URL",
        help="trust this origin in addition to Zoho's, as TrustedZohoOrigins does (repeatable)",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="write one JSON document to stdout, and nothing else")
]

DEFAULT_PREFIX = "zoho-crm-export/connections"
DEFAULT_MONGO_URI_ENV = "MONGODB_URI"
