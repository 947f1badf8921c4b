"""What can go wrong on the command line, with the exit code that tells of it."""

DONE = 0
FAILED = 1
USAGE = 2  # argparse's own
NOT_FOUND = 3
UNAVAILABLE = 4  # trying again later may work


class CliError(Exception):
    """The command cannot do what was asked; the message says why and is shown as it is."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code
