"""A results bucket over the in-memory S3 of the simulation, with parts of 1,000 bytes."""

from functools import partial

import pytest

import tests.support.hypothesis_profiles  # noqa: F401 (for the property tests)
from crm_export.aws.results_bucket import ResultsBucket
from simulation.s3 import S3, Bucket

KEY = "exports/part-00001.csv"
PART_BYTES = 1000


class RecordingS3:
    """An S3 client that records its requests. `errors` maps operations to what they raise."""

    def __init__(self):
        self.bucket = Bucket()
        self.requests = []
        self.errors = {}
        self._client = S3(self.bucket, keys_per_page=2)

    def __getattr__(self, operation):
        return partial(self._request, operation)

    def _request(self, operation, *given, **parameters):
        self.requests.append((operation, parameters))
        if operation in self.errors:
            raise self.errors[operation]
        return getattr(self._client, operation)(*given, **parameters)

    def made(self, *operations):
        """Return the parameters of the requests of some operations."""
        return [parameters for operation, parameters in self.requests if operation in operations]

    @property
    def is_empty(self):
        """True if there is neither an object nor an open upload."""
        return not self.bucket.objects and not self.bucket.uploads


@pytest.fixture
def s3():
    return RecordingS3()


@pytest.fixture
def results(s3):
    return ResultsBucket(s3, "results", part_bytes=PART_BYTES)
