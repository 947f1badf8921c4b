"""`python -m cli`: runs one command and exits with its code (`cli.stores.Exit`)."""

import sys
from collections.abc import Sequence

from cli.options import make_parser
from cli.stores import CliError, Exit
from crm_export.errors import ExportError

_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        options.run(options)
    except CliError as error:
        return _report(str(error), error.exit_code)
    except ExportError as error:
        if error.retryable:
            return _report(f"{error.message} Try again later.", Exit.UNAVAILABLE)
        return _report(error.message, Exit.FAILED)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return Exit.DONE


def _report(message: str, exit_code: Exit) -> int:
    print(f"error: {message}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
