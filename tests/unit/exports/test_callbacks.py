"""Signatures of callback URLs, and the keys they are made with."""

import pytest

from crm_export.errors import ConfigurationError, InvalidSignature, StoreUnavailable
from crm_export.exports.callbacks import KeyRing, sign, verify

EXPORT = "20260101T000000Z-0123456789abcdef"
OTHER = "20260101T000000Z-fedcba9876543210"
KEYS = [f"key {number} ".ljust(64, "x") for number in range(4)]


class Vault:
    """A secret that is rotated, how often it was read, and a clock that only we move."""

    def __init__(self):
        self.versions: list[str] = KEYS[:1]
        self.reads = 0
        self.down = False
        self.now = 1000.0

    def read(self):
        self.reads += 1
        if self.down:
            raise StoreUnavailable("Secrets Manager could not answer.")
        return self.versions[-1], (self.versions[-2] if len(self.versions) > 1 else None)

    def rotate(self):
        self.versions = KEYS[: len(self.versions) + 1]

    def ring(self):
        return KeyRing(self.read, lambda: self.now)


@pytest.fixture
def vault():
    return Vault()


def url_of(ring, part=1):
    return EXPORT, str(part), sign(ring.current(), EXPORT, part)


def test_what_is_signed_is_verified(vault):
    assert vault.ring().verify(*url_of(vault.ring(), 7)) == 7


@pytest.mark.parametrize(
    ("export_id", "part", "change"),
    [
        (OTHER, "1", str),
        (EXPORT, "2", str),
        (EXPORT, "01", lambda signature: signature[:-1]),
        (EXPORT, "1", str.upper),
        (EXPORT, "1", lambda signature: signature + "0"),
        (EXPORT, "1", lambda _: ""),
        (EXPORT, "1", lambda _: "\ud800"),
        (EXPORT, "1", lambda _: "a" * 1_000_000),
        ("\ud800", "1", str),
        (EXPORT, "", str),
        (EXPORT, "-1", str),
        (EXPORT, "١", str),
        (EXPORT, "9" * 5000, str),
    ],
)
def test_anything_else_is_not(vault, export_id, part, change):
    signature = sign(KEYS[0].encode(), EXPORT, 1)
    with pytest.raises(InvalidSignature):
        vault.ring().verify(export_id, part, change(signature))


def test_a_right_signature_of_what_is_no_export_or_part_is_refused():
    key = KEYS[0].encode()
    for export_id, part in ((EXPORT, 0), ("x", 1), ("*", 1)):
        with pytest.raises(InvalidSignature):
            verify((key,), export_id, str(part), sign(key, export_id, part))


def test_a_url_outlives_one_rotation_but_not_two(vault):
    url, ring = url_of(vault.ring()), vault.ring()
    vault.rotate()
    assert vault.ring().verify(*url) == 1
    assert ring.verify(*url) == 1
    vault.rotate()
    with pytest.raises(InvalidSignature):
        vault.ring().verify(*url)


def test_a_container_with_old_keys_takes_a_url_signed_with_a_newer_one(vault):
    ring = vault.ring()
    assert ring.verify(*url_of(ring)) == 1
    vault.rotate()
    vault.now += 11
    assert ring.verify(*url_of(vault.ring())) == 1
    vault.rotate()
    vault.now += 11
    assert ring.verify(*url_of(vault.ring())) == 1


def test_forgeries_cannot_flood_the_store(vault):
    ring = vault.ring()
    for _ in range(600):
        with pytest.raises(InvalidSignature):
            ring.verify(EXPORT, "1", "0" * 64)
        vault.now += 0.1
    assert vault.reads <= 7


def test_a_store_that_is_down_is_not_flooded_either_and_known_keys_go_on(vault):
    ring = vault.ring()
    url = url_of(ring)
    vault.down = True
    vault.now += 11
    with pytest.raises(StoreUnavailable):  # it cannot be told whether it is a forgery
        ring.verify(EXPORT, "1", "0" * 64)
    with pytest.raises(InvalidSignature):
        ring.verify(EXPORT, "1", "0" * 64)
    assert ring.verify(*url) == 1
    assert vault.reads == 2


def test_a_key_that_was_rotated_away_twice_signs_and_opens_nothing_after_five_minutes(vault):
    ring = vault.ring()
    url = url_of(ring)
    vault.rotate()
    vault.rotate()
    vault.now += 301
    assert ring.current() == KEYS[2].encode()
    with pytest.raises(InvalidSignature):
        ring.verify(*url)


def test_a_key_that_could_be_guessed_is_none(vault):
    vault.versions = ["short"]
    with pytest.raises(ConfigurationError, match="has 5 characters; needed are 32"):
        vault.ring().current()
    vault.versions = ["short", KEYS[1]]
    ring = vault.ring()
    with pytest.raises(InvalidSignature):
        ring.verify(EXPORT, "1", sign(b"short", EXPORT, 1))
    assert ring.verify(*url_of(ring)) == 1
