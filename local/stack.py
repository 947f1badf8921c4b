"""The whole stack, started in order and stopped without leaving a process behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.servers import StackOptions, running_servers

if TYPE_CHECKING:
    from local.serving import Stack


@contextmanager
def running_stack(options: StackOptions) -> Iterator["Stack"]:
    """Start the stack; stop it, in the opposite order, at the end of the context or on any error.

    Raises LocalStackError.
    """
    with running_servers(options) as servers:
        from local.serving import serving  # noqa: PLC0415 - while the servers start: it takes as long

        with serving(options, servers) as stack:
            yield stack
