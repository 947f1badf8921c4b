"""Where a command's exports are: in a folder (`--to DIR`), in a stack, or in the local stack."""

# ruff: noqa: PLC0415 (the backend is imported when a command runs)
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_export_cli.backend import Backend
from crm_export_cli.exits import CliError, Exit

if TYPE_CHECKING:
    from crm_export_cli.folder.wiring import FolderSettings
    from crm_export_cli.stack.backend import StackBackend
    from crm_export_cli.stack.functions import Stack

FolderOrDownloads = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="DIR",
        envvar="CRM_EXPORT_TO",
        help="the folder of the exports; with --stack or --local, where to download them",
    ),
]
ToOption = Annotated[
    Path,
    typer.Option("--to", metavar="DIR", envvar="CRM_EXPORT_TO", help="the folder of the exports"),
]
MaybeFolder = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", envvar="CRM_EXPORT_TO", help="the folder of the exports"),
]
StackOption = Annotated[
    str | None,
    typer.Option("--stack", metavar="NAME", envvar="CRM_EXPORT_STACK", help="a deployed stack, by its name"),
]
LocalOption = Annotated[bool, typer.Option("--local", help="the local stack that `make local` runs")]
StateFileOption = Annotated[Path, typer.Option("--state-file", metavar="FILE", help="of the local stack")]
DEFAULT_STATE_FILE = Path(".local/stack.json")
AccountOf = Annotated[
    str | None,
    typer.Option(
        "--account", metavar="A", envvar="CRM_EXPORT_ACCOUNT", help="of a stack; a folder needs none"
    ),
]
OwnerOf = Annotated[
    str | None,
    typer.Option("--owner", metavar="O", envvar="CRM_EXPORT_OWNER", help="of a stack; a folder needs none"),
]
_LOCAL_CALLER = ("acct-1", "user-1")


@dataclass(frozen=True)
class Target:
    """The options that say where a command's exports are. Raises CliError if they do not fit together."""

    to: FolderOrDownloads = None
    stack: StackOption = None
    local: LocalOption = False
    state_file: StateFileOption = DEFAULT_STATE_FILE
    account: AccountOf = None
    owner: OwnerOf = None

    def __post_init__(self) -> None:
        if self.stack and self.local:
            raise CliError("Both --stack and --local are given; give one of them.", Exit.USAGE)
        if not (self.is_stack or self.to):
            raise CliError(
                "It is not known where the exports are.",
                Exit.USAGE,
                remedy="Name a folder with --to, or a stack with --stack or --local.",
            )

    @property
    def is_stack(self) -> bool:
        """True if a stack does the work."""
        return bool(self.stack) or self.local

    @property
    def folder(self) -> Path:
        """The folder that has the exports, if no stack does."""
        if self.to is None:
            raise CliError("This needs a folder.", Exit.USAGE, remedy="Add --to DIR.")
        return self.to

    @property
    def downloads(self) -> Path | None:
        """Where a stack's files are to be downloaded, if anywhere."""
        return self.to if self.is_stack else None

    @contextmanager
    def opened(self) -> Iterator[Backend]:
        """Open the backend to look at exports; a folder that has none is not created. Raises CliError."""
        if self.is_stack:
            yield self.stack_backend()
            return
        from crm_export_cli.folder.backend import FolderBackend
        from crm_export_cli.folder.wiring import Folder, FolderSettings

        if self.to is None or not Folder.exists(self.to):
            raise CliError(
                f"There are no exports in {self.to}.",
                code="EXPORT_NOT_FOUND",
                remedy="Name the folder that `crm-export export --to` was given.",
            )
        with FolderBackend.open(self.to, FolderSettings()) as backend:
            yield backend

    @contextmanager
    def connected(self, settings: "FolderSettings") -> Iterator[Backend]:
        """Open the backend to work with Zoho. Raises CliError, also if a folder has no connection."""
        if self.is_stack:
            yield self.stack_backend()
            return
        from crm_export_cli.folder.backend import FolderBackend

        FolderBackend.require_connection(self.folder, settings)
        with FolderBackend.open(self.folder, settings) as backend:
            yield backend

    def stack_of_functions(self) -> "Stack":
        """Return the stack. Raises CliError."""
        from crm_export_cli.stack.functions import deployed_stack, local_stack

        return local_stack(self.state_file) if self.local else deployed_stack(str(self.stack))

    def stack_backend(self) -> "StackBackend":
        """Return the stack as a backend. Raises CliError."""
        from crm_export_cli.stack.backend import StackBackend

        defaults = _LOCAL_CALLER if self.local else (None, None)
        account, owner = self.account or defaults[0], self.owner or defaults[1]
        if account is None or owner is None:
            raise CliError(
                "A stack has connections of several accounts and owners, and none is named.",
                Exit.USAGE,
                remedy="Give --account and --owner, or CRM_EXPORT_ACCOUNT and CRM_EXPORT_OWNER.",
            )
        return StackBackend(self.stack_of_functions(), (account, owner))


def with_target(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options of a Target, in place of its parameter `target`."""
    return _with_options(command, list(inspect.signature(Target).parameters.values()))


def with_source(command: Callable[..., int]) -> Callable[..., int]:
    """Do as `with_target` for a command that downloads nothing: --to only names a folder."""
    options = inspect.signature(Target).parameters
    return _with_options(
        command, [options["to"].replace(annotation=MaybeFolder), *list(options.values())[1:]]
    )


def _with_options(command: Callable[..., int], options: list[inspect.Parameter]) -> Callable[..., int]:
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        ours = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
        parameters += ours if parameter.name == "target" else [parameter]

    @wraps(command)
    def run(**given: Any) -> int:
        target = Target(**{option.name: given.pop(option.name) for option in options})
        return command(target=target, **given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
