"""The base of all errors we raise on purpose."""

from typing import ClassVar


class ExportError(Exception):
    """Base of all errors we raise on purpose.

    code: stable, upper-case, for programs. max_attempts: how often a step of an export is tried in all;
    1 is final, None leaves it to the export's deadline. retry_after: seconds to wait first, where known.
    remedy: what the user can do.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    max_attempts: ClassVar[int | None] = 1
    remedy: str = ""

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Whether trying again later may work."""
        return self.max_attempts != 1

    def as_failure(self) -> dict[str, str]:
        """The `failure` of an export: {"code", "message", "remedy"}."""
        return {"code": self.code, "message": self.message[:2500], "remedy": self.remedy}
