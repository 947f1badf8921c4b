"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from crm_export.connections.model import require_identity
from crm_export.errors import CallerNotIdentified
from crm_export_cli.folder import ACCOUNT, OWNER
from crm_export_cli.questions import Questions


class Store(StrEnum):
    """Where a stack's connections are."""

    SECRETS_MANAGER = "secretsmanager"
    MONGO = "mongo"


def identity(
    folder: Path | None, account: str | None, owner: str | None, questions: Questions | None = None
) -> tuple[str, str]:
    """Return account and owner: a folder has one connection, a stack's connection is asked for.

    Raises CliError if they are missing; with `questions`, these report it.
    """
    if folder is not None:
        return account or ACCOUNT, owner or OWNER
    asked = questions or Questions(terminal=False)
    found = (
        asked.answer(account, "--account", "Account (the claim account_id of its tokens)"),
        asked.answer(owner, "--owner", "Owner (the claim uid of its tokens)"),
    )
    if questions is None:
        asked.done()
    return found


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
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="DIR",
        envvar="CRM_EXPORT_TO",
        help="the folder of the exports, without AWS: the connection is in DIR/.crm-export/",
        show_envvar=False,
    ),
]
StackStoreOption = Annotated[
    Store | None,
    typer.Option(
        "--store",
        help="where a stack has its connections. `secretsmanager` (default) uses AWS credentials and region "
        "as the AWS CLI does (AWS_PROFILE, AWS_DEFAULT_REGION, ...); `mongo` reads its URI from an "
        "environment variable.",
    ),
]
FolderAccount = Annotated[
    str | None,
    typer.Option(
        "--account",
        callback=lambda value: _identity("account_id", value),
        metavar="A",
        help="of a stack; a folder needs none",
    ),
]
FolderOwner = Annotated[
    str | None,
    typer.Option(
        "--owner",
        callback=lambda value: _identity("uid", value),
        metavar="O",
        help="of a stack; a folder needs none",
    ),
]
FieldsOption = Annotated[
    str | None,
    typer.Option("--fields", metavar="A,B", help="API names of fields, or all; default: Zoho's choice"),
]
CvidOption = Annotated[
    str | None, typer.Option("--cvid", metavar="ID", help="only the records of this custom view")
]
WhereOption = Annotated[
    str | None,
    typer.Option("--where", metavar="COND", help="such as \"Amount > 1000 and Stage = 'Won'\""),
]
CriteriaOption = Annotated[
    Path | None,
    typer.Option("--criteria", metavar="FILE", help="Zoho's criteria as JSON, instead of --where"),
]
DownloadsOption = Annotated[
    int,
    typer.Option(
        "--downloads-per-minute",
        min=1,
        help="Zoho allows an organisation 10 for all its programs; a further one waits",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="write one JSON document to stdout, and nothing else")
]

DEFAULT_PREFIX = "zoho-crm-export/connections"
DEFAULT_MONGO_URI_ENV = "MONGODB_URI"
DEFAULT_DOWNLOADS = 10
