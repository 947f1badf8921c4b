"""What ends an export, or postpones one of its parts."""

from crm_export.errors.base import ExportError


class PagingBroken(ExportError):
    """Zoho says there are more records, but not how to go on, or what it says leads nowhere."""

    code = "PAGING_BROKEN"
    remedy = "Start a new export; ask Zoho's support if it fails again."


class DeadlineExceeded(ExportError):
    """An export was still open at its deadline."""

    code = "DEADLINE_EXCEEDED"
    remedy = "Start a new export; raise ExportDeadlineHours if the module is that large."


class DownloadsSpent(ExportError):
    """The account has begun as many downloads as Zoho allows in a minute."""

    code = "DOWNLOADS_SPENT"
    max_attempts = None


class JobOverdue(ExportError):
    """Zoho did not finish a Bulk Read job, nor those made in its place."""

    code = "JOB_OVERDUE"
    remedy = "Look at Zoho's status page, then start a new export; ask Zoho's support if it hangs again."


class PartBusy(ExportError):
    """Another worker looks at the part just now."""

    code = "PART_BUSY"
    max_attempts = None


class WorkerDied(ExportError):
    """The function ended without a word while it worked on a part, again and again."""

    code = "WORKER_DIED"
    remedy = "Look at the function's log for a timeout or its memory, then start a new export."


class StepFailed(ExportError):
    """A step failed in a way we do not know."""

    code = "INTERNAL_ERROR"
    max_attempts = 8
    remedy = "Look at the function's log for the export's id; then start a new export."
