"""A results bucket over the in-memory S3 of the simulation, with parts of 1,000 bytes."""

from concurrent.futures import Executor, Future
from functools import partial

import pytest

import tests.support.hypothesis_profiles  # noqa: F401 (for the property tests)
from crm_export.aws.results_bucket import ResultsBucket
from simulation.s3 import S3, Bucket

KEY = "exports/part-00001.csv"
PART_BYTES = 1000


class RecordingS3:
    """An S3 client that records its requests.

    By operation: `meanwhile` is called before it, `errors` is raised instead of it, `lost` after its effect.
    """

    def __init__(self):
        self.bucket = Bucket()
        self.requests = []
        self.meanwhile = {}
        self.errors = {}
        self.lost = {}
        self._client = S3(self.bucket, keys_per_page=2)

    def __getattr__(self, operation):
        return partial(self._request, operation)

    def _request(self, operation, *given, **parameters):
        if "Body" in parameters:
            parameters["Body"] = bytes(parameters["Body"])  # the writer fills its buffers again
        self.requests.append((operation, parameters))
        self.meanwhile.get(operation, lambda: None)()
        if operation in self.errors:
            raise self.errors[operation]
        response = getattr(self._client, operation)(*given, **parameters)
        if operation in self.lost:
            raise self.lost[operation]
        return response

    def made(self, *operations):
        """Return the parameters of the requests of some operations."""
        return [parameters for operation, parameters in self.requests if operation in operations]

    @property
    def is_empty(self):
        """True if there is neither an object nor an open upload."""
        return not self.bucket.objects and not self.bucket.uploads


class HangsError(Exception):
    """Raised by a call that an InlineExecutor never ends."""


class InlineExecutor(Executor):
    """Works at once, except that some calls never end."""

    def submit(self, work, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except HangsError:
            pass
        except Exception as error:
            future.set_exception(error)
        return future


def confirmed():
    """A `confirm` that finds nothing wrong."""


@pytest.fixture
def s3():
    return RecordingS3()


@pytest.fixture
def results(s3):
    return ResultsBucket(s3, "results", part_bytes=PART_BYTES)
