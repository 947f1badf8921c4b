"""`python -m cli`: one command, then an exit code (cli/errors.py)."""

import sys
from collections.abc import Sequence

from cli.errors import FAILED, UNAVAILABLE, CliError
from cli.options import make_parser
from crm_export.errors import ExportError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = make_parser().parse_args(arguments)
    try:
        run = options.run
        return int(run(options))
    except CliError as error:
        return _report(str(error), error.exit_code)
    except ExportError as error:
        remedy = "Try again later." if error.retryable else ""
        return _report(f"{error.message} {remedy}".strip(), UNAVAILABLE if error.retryable else FAILED)
    except KeyboardInterrupt:
        return 130


def _report(message: str, exit_code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
