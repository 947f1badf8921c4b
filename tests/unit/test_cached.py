"""How long a secret of the stack's own is kept, and when it is read again."""

import pytest

from crm_export.cached import Cached, CachedByKey
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


# --- by key ---


class Sources:
    """Values by key, which change with every read, and a clock that only the test moves."""

    def __init__(self, seconds=60.0, most=2):
        self.now = 0.0
        self.reads = []
        self.down = False
        self.cached = CachedByKey(self.read, lambda: self.now, seconds, most)

    def read(self, key):
        if self.down:
            raise StoreUnavailable("down")
        self.reads.append(key)
        return f"{key}{self.reads.count(key)}"


@pytest.mark.parametrize(("seconds", "value"), [(59.5, "a1"), (60, "a2")])
def test_value_of_a_key_is_kept_from_its_read_on(seconds, value):
    sources = Sources()
    sources.cached.get("a")
    sources.now = 30
    sources.cached.get("a")
    sources.now = seconds
    assert sources.cached.get("a") == value


def test_keys_have_values_of_their_own():
    cached = Sources().cached
    assert [cached.get(key) for key in "abab"] == ["a1", "b1", "a1", "b1"]


def test_key_that_was_not_used_for_longest_makes_room():
    sources = Sources(most=2)
    for key in "abac":
        sources.cached.get(key)
    assert sources.cached.get("a") == "a1"
    assert sources.cached.get("b") == "b2"


def test_value_that_is_read_again_is_kept_from_then_on():
    sources = Sources()
    sources.cached.get("a")
    sources.now = 50
    assert sources.cached.again("a") == "a2"
    sources.now = 109.5
    assert sources.cached.get("a") == "a2"


def test_nothing_is_kept_for_no_seconds():
    sources = Sources(seconds=0)
    assert [sources.cached.get("a"), sources.cached.get("a"), sources.cached.again("a")] == ["a1", "a2", "a3"]


def test_value_that_cannot_be_read_again_is_no_longer_kept():
    sources = Sources()
    sources.cached.get("a")
    sources.down = True
    with pytest.raises(StoreUnavailable):
        sources.cached.again("a")
    with pytest.raises(StoreUnavailable):
        sources.cached.get("a")
