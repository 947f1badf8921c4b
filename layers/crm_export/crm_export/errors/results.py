"""What is wrong with a result, or with storing it."""

from crm_export.errors.base import ExportError


class ResultError(ExportError):
    """A result is not what it must be; it is downloaded again."""

    code = "RESULT_INVALID"
    max_attempts = 8
    remedy = "Start a new export; ask Zoho's support if it fails again."


class TruncatedZip(ResultError):
    """The ZIP ends before its end."""

    code = "RESULT_TRUNCATED"


class CorruptZip(ResultError):
    """CRC, size or structure of the ZIP do not agree with its content."""

    code = "RESULT_CORRUPT"


class UnsupportedZip(ResultError):
    """The ZIP is encrypted, holds no or several entries, or uses another compression; or a byte is wrong."""

    code = "RESULT_UNSUPPORTED"
    max_attempts = 3


class ResultTooLarge(ResultError):
    """The file is larger than its records can be: it is no result of Zoho's."""

    code = "RESULT_TOO_LARGE"
    max_attempts = 1


class CountMismatch(ResultError):
    """The file does not hold the number of records Zoho counted."""

    code = "RECORD_COUNT_MISMATCH"


class RecordWithoutId(ResultError):
    """A record of the records API has no id to be known by."""

    code = "RECORD_WITHOUT_ID"


class StorageRefused(ResultError):
    """S3 does not take, give or delete an object."""

    code = "STORAGE_REFUSED"
    remedy = "Look at the results bucket and the function's permissions, then start a new export."
