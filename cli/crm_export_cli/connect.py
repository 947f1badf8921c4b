"""`crm-export connect`: obtains a grant from Zoho, tries it, and stores it as a connection."""
# ruff: noqa: PLC0415 - `--help` and shell completion need no HTTP client

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crm_export.connections.model import CLIENT_CREDENTIALS, REFRESH_TOKEN, Connection
from crm_export.errors import TokenInvalidated, ZohoClientRejected
from crm_export.zoho.catalog import SCOPES
from crm_export.zoho.grants import ClientCredentials, ZohoClientCredentials
from crm_export_cli import options
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.folder.glance import keep_modules
from crm_export_cli.output import print_json, tell
from crm_export_cli.questions import Questions, one_word
from crm_export_cli.reports import connection_document, print_report
from crm_export_cli.stores import StoreChoice, open_store

if TYPE_CHECKING:
    from crm_export.zoho.checks import Report
    from crm_export_cli.obtain import DevicePrompt, Obtained, Zoho

HELP = """Example: crm-export connect --to ./out

Connect to a Zoho CRM organisation. The command asks what it needs to know, tries the connection at Zoho, and
stores it. It stores nothing if Zoho refuses the connection or if a required scope is missing.

For scripts every question has an option or an environment variable. Secrets have only variables:
CRM_EXPORT_CLIENT_SECRET, CRM_EXPORT_REFRESH_TOKEN and CRM_EXPORT_CODE.
"""
_DEVICE, _CODE = "device", "code"
_GRANTS = {
    CLIENT_CREDENTIALS: "a self client for its own organisation; nobody signs in",
    _DEVICE: "sign in with a short code, in any browser",
    _CODE: "paste a code that a self client made",
    REFRESH_TOKEN: "a refresh token that you already have",
}
_SELF_CLIENT = "Open https://api-console.zoho.com (or .eu, .in, ...), Self Client, tab Client Secret."
_WHERE = {
    CLIENT_CREDENTIALS: _SELF_CLIENT,
    _DEVICE: "Open https://api-console.zoho.com (or .eu, .in, ...) and add a Non-browser Application.",
    _CODE: _SELF_CLIENT,
    REFRESH_TOKEN: "The client must be the one that the refresh token was issued to.",
}
_ALL_SCOPES = ",".join(scope.name for scope in SCOPES)
_SOID = re.compile(r"(?:ZohoCRM\.|org)?([0-9]{1,30})", re.IGNORECASE)
# What went wrong and what to do, by Zoho's code.
_REFUSALS = {
    "invalid_client": (
        "Zoho does not know the client id.",
        "Copy it again. For a client outside Zoho's public data centres name its --accounts-server.",
    ),
    "invalid_client_secret": (
        "Zoho does not accept the client secret.",
        "Copy it again. A client may have another secret in each data centre.",
    ),
    "missing_org_info": ("Zoho needs the id of the organisation.", "Give it with --soid ZohoCRM.<id>."),
    "invalid_org": (
        "Zoho does not accept the organisation id.",
        "In Zoho CRM, click your picture at the top right: the id is next to the organisation's name.",
    ),
    "invalid_scope": (
        "Zoho refuses the scopes that an export needs.",
        "The client and its user must be allowed to use the API of Zoho CRM.",
    ),
    "access_denied": ("The request was rejected in the browser.", "Run the command again and accept it."),
    "expired": ("Nobody accepted the request in time.", "Run the command again."),
    "no_refresh_token": (
        "Zoho issued no refresh token, so the access would end after an hour.",
        "Use a client that may have offline access, or another --grant.",
    ),
}
_INVALID_CODE = {
    _CODE: (
        "Zoho does not accept the code: it is wrong, was used before, or has expired.",
        "Generate a new one and paste it at once: it lives a few minutes and can be used once.",
    ),
    REFRESH_TOKEN: (
        "Zoho does not accept the refresh token: it is wrong, was revoked, or belongs to another client.",
        "Use another --grant: nobody has to create a refresh token by hand.",
    ),
}

GrantOption = Annotated[
    str | None,
    typer.Option("--grant", envvar="CRM_EXPORT_GRANT", metavar="GRANT", help=", ".join(_GRANTS)),
]
ClientOption = Annotated[
    str | None,
    typer.Option("--client-id", envvar="CRM_EXPORT_CLIENT_ID", metavar="ID", help="of Zoho's API console"),
]
SoidOption = Annotated[
    str | None,
    typer.Option("--soid", envvar="CRM_EXPORT_SOID", metavar="ID", help="ZohoCRM.<id of the organisation>"),
]
ApiDomainOption = Annotated[
    str | None,
    typer.Option(
        "--api-domain",
        envvar="CRM_EXPORT_API_DOMAIN",
        metavar="URL",
        help="such as https://www.zohoapis.eu or https://sandbox.zohoapis.eu; by default Zoho is asked",
    ),
]
AccountsOption = Annotated[
    str | None,
    typer.Option(
        "--accounts-server",
        envvar="CRM_EXPORT_ACCOUNTS_SERVER",
        metavar="URL",
        help="such as https://accounts.zoho.eu; by default Zoho's data centres are asked in turn",
    ),
]


@dataclass(frozen=True)
class Answers:
    """What the user has decided. given: the refresh token or the code. Secrets are never options."""

    grant: str
    client: ZohoClientCredentials
    soid: str
    given: str


def connect(
    *,
    to: options.FolderOption = None,
    store: options.StackStoreOption = None,
    account: options.FolderAccount = None,
    owner: options.FolderOwner = None,
    grant: GrantOption = None,
    client_id: ClientOption = None,
    soid: SoidOption = None,
    api_domain: ApiDomainOption = None,
    accounts_server: AccountsOption = None,
    trust_origin: options.TrustOption = None,
    prefix: options.PrefixOption = options.DEFAULT_PREFIX,
    mongo_uri_env: options.MongoOption = options.DEFAULT_MONGO_URI_ENV,
    as_json: options.JsonOption = False,
) -> int:
    """Connect to a Zoho CRM organisation."""
    from crm_export.zoho.transport import make_session
    from crm_export_cli.obtain import Zoho, hosts

    trusted = tuple(trust_origin or ())
    domain, servers = hosts(api_domain, accounts_server, trusted)
    questions = Questions()
    to = _folder(questions, to, store)
    account, owner = options.identity(to, account, owner, questions)
    answers = _ask(questions, grant, client_id, soid)
    zoho = Zoho(answers.client, servers, domain, trusted, make_session())
    connection, report = _tried(zoho, answers, account, owner)
    choice = StoreChoice(store or options.Store.SECRETS_MANAGER, prefix, mongo_uri_env, to)
    with open_store(choice, trusted) as opened:
        opened.put(account, owner, _token_document(connection))
    if to is not None and report.module_names:
        keep_modules(to, list(report.module_names))
    _show(choice, connection, report, as_json=as_json)
    return Exit.DONE


def lacking(report: "Report", otherwise: str) -> CliError | None:
    """Return the error for missing scopes that every export needs, or None. otherwise: what follows."""
    missing = report.missing(required=True)
    if not missing:
        return None
    names = " and ".join(check.scope.name for check in missing)
    purposes = " and to ".join(check.scope.purpose for check in missing)
    return CliError(
        f"The grant lacks {names}, which is needed to {purposes}. {otherwise}",
        Exit.NOT_CONNECTED,
        code="SCOPES_MISSING",
        remedy=f"Connect again with all scopes that are used: {_ALL_SCOPES}",
    )


# --- what to ask -----------------------------------------------------------------------------


def _folder(questions: Questions, to: Path | None, store: options.Store | None) -> Path | None:
    """Return the folder, or None for a stack's store. Raises CliError if both are named."""
    if to is not None and store is not None:
        raise CliError("--to is for a folder and --store for a stack; give one of them.", Exit.USAGE)
    if to is not None or store is not None:
        return to
    answer = questions.answer(
        None, "--to DIR (or --store, for a stack)", "Folder for the exports", default="./out"
    )
    return Path(answer) if answer else None


def _ask(questions: Questions, grant: str | None, client_id: str | None, soid: str | None) -> Answers:
    """Ask what is not given. Raises CliError for what is missing or cannot be right."""
    grant = questions.choose(grant, f"--grant ({', '.join(_GRANTS)})", _GRANTS)
    if grant and grant not in _GRANTS:
        raise CliError(f"--grant {grant!r} is not one of {', '.join(_GRANTS)}.", Exit.USAGE)
    questions.explain(_WHERE.get(grant, ""))
    client = ZohoClientCredentials(
        questions.answer(client_id, "--client-id (or CRM_EXPORT_CLIENT_ID)", "Client id"),
        questions.secret("CRM_EXPORT_CLIENT_SECRET", "Client secret"),
    )
    given = ""
    if grant == CLIENT_CREDENTIALS:
        questions.explain(
            "The organisation's id is in Zoho CRM, when you click your picture at the top right."
        )
        soid = questions.answer(soid, "--soid (or CRM_EXPORT_SOID)", "Organisation id")
    elif grant == _CODE:
        questions.explain(f"In its tab Generate Code, paste this scope:\n\n{_ALL_SCOPES}\n")
        given = questions.secret("CRM_EXPORT_CODE", "Code")
    elif grant == REFRESH_TOKEN:
        given = questions.secret("CRM_EXPORT_REFRESH_TOKEN", "Refresh token")
    questions.done()
    return Answers(grant, _usable(client), _soid(soid) if grant == CLIENT_CREDENTIALS else "", given)


def _usable(client: ZohoClientCredentials) -> ZohoClientCredentials:
    return ZohoClientCredentials(
        one_word(client.client_id, "The client id"), one_word(client.client_secret, "The client secret")
    )


def _soid(given: str | None) -> str:
    """Return `ZohoCRM.<id>` of an organisation's id in any of the forms in which Zoho shows it."""
    found = _SOID.fullmatch(given or "")
    if not found:
        raise CliError(
            f"--soid {given!r} is not the id of an organisation.",
            Exit.USAGE,
            remedy="It is a number, such as 60000000001 or ZohoCRM.60000000001.",
        )
    return f"ZohoCRM.{found[1]}"


# --- what to do with the answers -------------------------------------------------------------


def _tried(zoho: "Zoho", answers: Answers, account: str, owner: str) -> tuple[Connection, "Report"]:
    """Return a connection that works, and what was tried. Raises CliError if it lacks a required scope."""
    from crm_export.zoho.checks import Checks

    try:
        obtained = _obtain(zoho, answers)
        connection = Connection(
            account, owner, obtained.api_domain, obtained.accounts_server, obtained.grant, answers.client
        )
        report = Checks(zoho.session, connection.api_domain, obtained.token).run()
    except KeyboardInterrupt:
        tell("Stopped. Nothing was stored.")
        raise
    if (error := lacking(report, "Nothing was stored.")) is not None:
        raise error
    return connection, report


def _obtain(zoho: "Zoho", answers: Answers) -> "Obtained":
    """Return what Zoho grants. Raises CliError with Zoho's reason, in words, if it refuses."""
    try:
        match answers.grant:
            case "client_credentials":
                return zoho.by_client_credentials(answers.soid)
            case "device":
                return zoho.by_device(_show_prompt)
            case "code":
                return zoho.by_code(one_word(answers.given, "The code"))
            case _:
                return zoho.by_refresh_token(one_word(answers.given, "The refresh token"))
    except (TokenInvalidated, ZohoClientRejected) as error:
        raise _refused(error, answers.grant) from error


def _refused(error: TokenInvalidated | ZohoClientRejected, grant: str) -> CliError:
    code = (error.zoho_code or "").lower()
    known = _INVALID_CODE.get(grant) if code == "invalid_code" else _REFUSALS.get(code)
    reason = error.reason if isinstance(error, TokenInvalidated) else error.message
    message, remedy = known or ("Zoho refuses the connection.", "Look the code up in Zoho's documentation.")
    return CliError(
        f"{message} Nothing was stored. {reason}", Exit.NOT_CONNECTED, code=error.code, remedy=remedy
    )


def _show_prompt(prompt: "DevicePrompt") -> None:
    minutes = round(prompt.seconds / 60)
    tell(
        f"Open this page in any browser, on any machine:\n\n    {prompt.url}\n\n"
        f"and type this code:\n\n    {prompt.user_code}\n\n"
        f"Waiting for you to accept the request; the code is valid for {minutes} minutes. Ctrl-C stops."
    )


def _token_document(connection: Connection) -> dict[str, str]:
    """Return the connection as it is stored: what `Connection.from_document` reads."""
    token = {
        **connection.stored_grant(),
        "api_domain": connection.api_domain,
        "accounts_server": connection.accounts_server,
    }
    if isinstance(connection.grant, ClientCredentials):
        token["scope"] = connection.grant.scope
    if connection.client is not None:
        token |= {
            "client_id": connection.client.client_id,
            "client_secret": connection.client.client_secret,
        }
    return token


def _show(choice: StoreChoice, connection: Connection, report: "Report", *, as_json: bool) -> None:
    if as_json:
        missing = [check.document() for check in report.missing(required=False)]
        document = {**connection_document(connection), "stored_in": choice.place()}
        print_json({"connection": document, "missing_scopes": missing, **report.document()})
        return
    print_report(report)
    print(f"Stored in {choice.place()}.")
    if choice.folder is not None:
        print(f"Next: crm-export export contacts --to {shlex.quote(str(choice.folder))}")
