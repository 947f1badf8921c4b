"""How long a secret of the stack's own is kept, and when it is read again."""

import pytest

from crm_export.cached import Cached
from crm_export.errors import StoreUnavailable


class Source:
    """A value that changes with every read, and a clock that only the test moves."""

    def __init__(self):
        self.now = 0.0
        self.reads = 0
        self.down = False
        self.cached = Cached(self.read, lambda: self.now)

    def read(self):
        if self.down:
            raise StoreUnavailable("down")
        self.reads += 1
        return self.reads


@pytest.fixture
def source():
    return Source()


@pytest.mark.parametrize(("seconds", "value"), [(299.5, 1), (300, 2)])
def test_value_is_read_again_after_five_minutes(source, seconds, value):
    assert source.cached.get() == 1
    source.now += seconds
    assert source.cached.get() == value


def test_refused_value_is_read_again_at_once_but_not_twice_in_ten_seconds(source):
    assert source.cached.get() == 1
    assert source.cached.again() == 2
    source.now += 9.5
    assert (source.cached.again(), source.cached.get()) == (None, 2)
    source.now += 0.5
    assert source.cached.again() == 3


def test_value_that_was_read_again_is_kept_for_five_minutes(source):
    source.cached.get()
    source.now += 299
    source.cached.again()
    source.now += 299
    assert source.cached.get() == 2


def test_failure_is_not_kept(source):
    source.down = True
    with pytest.raises(StoreUnavailable):
        source.cached.get()
    source.down = False
    assert source.cached.get() == 1


def test_value_outlives_a_failed_attempt_to_read_it_again(source):
    source.cached.get()
    source.down = True
    with pytest.raises(StoreUnavailable):
        source.cached.again()
    assert source.cached.get() == 1
