"""Callbacks: signatures of their URLs, rotation of the key, and what a callback changes."""

import hashlib
import hmac

import pytest

from crm_export.errors import (
    ConfigurationError,
    InvalidRequest,
    InvalidSignature,
    StoreUnavailable,
    ZohoThrottled,
    ZohoTimeout,
)
from crm_export.exports.callbacks import (
    KeyRing,
    callback_url,
    heed_callback,
    receive_callback,
    sign,
    verify,
)
from crm_export.exports.pipeline import Callback, Pipeline
from tests.unit.exports.conftest import job

EXPORT = "20260101T000000Z-0123456789abcdef"
OTHER = "20260101T000000Z-fedcba9876543210"
KEYS = [f"key {number} ".ljust(64, "x") for number in range(4)]


class Vault:
    """A secret that can be rotated, the number of its reads, and a clock that only the test moves."""

    def __init__(self):
        self.versions: list[str] = KEYS[:1]
        self.reads = 0
        self.down = False
        self.now = 1000.0

    def read(self):
        self.reads += 1
        if self.down:
            raise StoreUnavailable("Secrets Manager is down.")
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


# --- signatures ---


def test_signature_is_the_hmac_of_export_and_part_under_the_key():
    message = f"{EXPORT}/7".encode()
    assert sign(b"k" * 32, EXPORT, 7) == hmac.digest(b"k" * 32, message, "sha256").hex()


def test_signature_of_a_group_covers_the_group_and_ends_with_it():
    digits = hmac.digest(b"k" * 32, f"{EXPORT}/7-abc".encode(), "sha256").hex()
    assert sign(b"k" * 32, EXPORT, 7, "abc") == f"{digits}-abc"


def test_signature_is_verified_by_the_key_that_made_it(vault):
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
        (EXPORT, "1", lambda _: "a" * 100_000),
        ("\ud800", "1", str),
        (EXPORT, "", str),
        (EXPORT, "-1", str),
        (EXPORT, "١", str),
        (EXPORT, "9" * 5000, str),
    ],
)
def test_verify_refuses_another_export_part_or_signature(vault, export_id, part, change):
    signature = sign(KEYS[0].encode(), EXPORT, 1)
    with pytest.raises(InvalidSignature):
        vault.ring().verify(export_id, part, change(signature))


@pytest.mark.parametrize(("export_id", "part"), [(EXPORT, 0), ("x", 1), ("*", 1)])
def test_verify_refuses_a_correct_signature_of_an_invalid_export_or_part(export_id, part):
    key = KEYS[0].encode()
    with pytest.raises(InvalidSignature):
        verify((key,), export_id, str(part), sign(key, export_id, part))


# --- rotation ---


@pytest.mark.parametrize(("seconds", "reads"), [(299.5, 1), (300, 2)])
def test_keys_are_read_again_after_five_minutes(vault, seconds, reads):
    ring = vault.ring()
    ring.current()
    vault.now += seconds
    ring.current()
    assert vault.reads == reads


@pytest.mark.parametrize(("seconds", "reads"), [(9.5, 2), (10, 3)])
def test_forged_callbacks_read_the_keys_again_at_most_every_ten_seconds(vault, seconds, reads):
    ring = vault.ring()
    ring.current()
    for _ in range(2):
        with pytest.raises(InvalidSignature):
            ring.verify(EXPORT, "1", "0" * 64)
        vault.now += seconds
    assert vault.reads == reads


def test_keys_are_read_first_on_a_machine_that_has_just_started(vault):
    vault.now = 1.0
    assert vault.ring().current() == KEYS[0].encode()


def test_previous_key_of_the_shortest_length_still_verifies(vault):
    vault.versions = ["k" * 32, KEYS[1]]
    assert vault.ring().verify(EXPORT, "1", sign(b"k" * 32, EXPORT, 1)) == 1


def test_url_outlives_one_rotation_but_not_two(vault):
    url, ring = url_of(vault.ring()), vault.ring()
    vault.rotate()
    assert vault.ring().verify(*url) == 1
    assert ring.verify(*url) == 1
    vault.rotate()
    with pytest.raises(InvalidSignature):
        vault.ring().verify(*url)


def test_container_with_old_keys_accepts_a_url_signed_with_a_newer_key(vault):
    ring = vault.ring()
    assert ring.verify(*url_of(ring)) == 1
    vault.rotate()
    vault.now += 11
    assert ring.verify(*url_of(vault.ring())) == 1
    vault.rotate()
    vault.now += 11
    assert ring.verify(*url_of(vault.ring())) == 1


def test_forged_callbacks_do_not_flood_the_secret_store(vault):
    ring = vault.ring()
    for _ in range(600):
        with pytest.raises(InvalidSignature):
            ring.verify(EXPORT, "1", "0" * 64)
        vault.now += 0.1
    assert vault.reads <= 7


def test_secret_store_that_is_down_is_not_flooded_and_known_keys_still_verify(vault):
    ring = vault.ring()
    url = url_of(ring)
    vault.down = True
    vault.now += 11
    with pytest.raises(StoreUnavailable):  # nobody knows yet whether it is forged
        ring.verify(EXPORT, "1", "0" * 64)
    with pytest.raises(InvalidSignature):
        ring.verify(EXPORT, "1", "0" * 64)
    assert ring.verify(*url) == 1
    assert vault.reads == 2


def test_key_that_was_rotated_away_twice_is_not_used_after_five_minutes(vault):
    ring = vault.ring()
    url = url_of(ring)
    vault.rotate()
    vault.rotate()
    vault.now += 301
    assert ring.current() == KEYS[2].encode()
    with pytest.raises(InvalidSignature):
        ring.verify(*url)


def test_short_key_neither_signs_nor_verifies(vault):
    vault.versions = ["short"]
    with pytest.raises(ConfigurationError, match="has 5 characters; it needs 32"):
        vault.ring().current()
    vault.versions = ["short", KEYS[1]]
    ring = vault.ring()
    with pytest.raises(InvalidSignature):
        ring.verify(EXPORT, "1", sign(b"short", EXPORT, 1))
    assert ring.verify(*url_of(ring)) == 1


# --- a callback is received ---

GROUP = hashlib.sha256(b"acct-1").hexdigest()[:16]


def receive(one_export, body, part=1, **changes):
    """Receive a callback with a correct signature, unless `changes` has another one."""
    url = callback_url(one_export.pipeline.callback_keys.current(), one_export.export(), part)
    signature = changes.get("signature", url.rpartition("/")[2])
    own = Pipeline(download_queue=one_export.download_queue, callback_keys=one_export.pipeline.callback_keys)
    receive_callback(own, one_export.export_id, str(part), signature, body)


def test_callback_becomes_one_message_that_carries_its_job(one_export):
    receive(one_export, b'{"data": [{"id": "7"}]}')
    queue = one_export.download_queue
    assert (queue.parts, queue.callbacks) == ([1], [Callback("7")])


def test_callback_with_wrong_signature_sends_nothing(one_export):
    with pytest.raises(InvalidSignature):
        receive(one_export, b"not JSON", signature="0" * 64)
    assert one_export.download_queue.parts == []


def test_callback_without_job_queues_its_part_and_is_refused(one_export):
    with pytest.raises(InvalidRequest, match=r"data\[0\]\.id or job_id"):
        receive(one_export, b"not JSON")
    assert one_export.download_queue.callbacks == [Callback(None)]


def test_callback_is_queued_in_the_group_of_the_other_messages_of_its_account(one_export):
    receive(one_export, b'{"job_id": "7"}')
    one_export.submitted()
    one_export.pipeline.enqueue(one_export.export(), one_export.part())
    assert one_export.download_queue.groups == [GROUP, GROUP]


def test_callback_url_of_an_earlier_version_is_queued_in_a_group_of_its_export(one_export):
    signature = sign(b"k" * 32, one_export.export_id, 1)
    receive(one_export, b'{"job_id": "7"}', signature=signature)
    assert (len(signature), one_export.download_queue.groups) == (64, [one_export.export_id])


@pytest.mark.parametrize("group", ["", "0" * 16, f"{GROUP}0", f"{GROUP}-", "\ud800"])
def test_callback_url_with_another_group_is_refused(one_export, group):
    digits = sign(b"k" * 32, one_export.export_id, 1, GROUP).partition("-")[0]
    with pytest.raises(InvalidSignature):
        receive(one_export, b"", signature=f"{digits}-{group}" if group else digits)


# --- a callback is heeded ---


def heed(one_export, job_id, part=1, **more):
    return heed_callback(one_export.pipeline, one_export.export_id, part, Callback(job_id, **more))


def test_callback_of_a_pending_part_is_kept_as_a_hint(one_export):
    assert heed(one_export, "7")
    assert one_export.part().hinted_job_id == "7"


def test_callback_of_a_part_with_a_job_is_only_counted(one_export):
    one_export.submitted()
    before = one_export.part()
    assert heed(one_export, "7")
    assert one_export.part() == before


def test_callback_that_names_no_job_leaves_no_hint(one_export):
    assert heed(one_export, None)
    assert one_export.part().hinted_job_id is None


def test_callbacks_beyond_the_budget_of_a_part_do_nothing(one_export):
    assert all(heed(one_export, "7") for _ in range(20))
    one_export.table.forget_hint(one_export.part(), one_export.now)
    one_export.advance(callback=Callback("8"))
    assert (one_export.part().hinted_job_id, one_export.zoho.asked) == (None, [])


def test_message_of_a_callback_that_is_received_again_is_not_counted_again(one_export):
    for _ in range(30):
        assert heed(one_export, "7", is_new=False)
    assert heed(one_export, "7")


def test_message_that_failed_before_its_hint_was_kept_keeps_it_when_it_is_received_again(one_export):
    assert heed(one_export, "7", is_new=False)
    assert one_export.part().hinted_job_id == "7"


def test_callback_of_a_part_that_does_not_exist_is_ignored(one_export):
    assert not heed(one_export, "7", part=9)
    one_export.advance(9, Callback("7"))
    assert one_export.part(9) is None


def test_callback_does_not_end_a_pause_that_zoho_asked_for(one_export):
    one_export.claim("a", 90)
    until = one_export.at(600)
    one_export.table.release(one_export.part(), "a", one_export.now, not_before=until, asked=True)
    one_export.advance(callback=Callback("7"))
    assert (one_export.part().not_before, one_export.part().hinted_job_id) == (until, "7")
    assert one_export.zoho.asked == []


def test_throttled_part_waits_as_long_as_zoho_asked_in_spite_of_a_callback(one_export):
    one_export.zoho.refusals = [ZohoThrottled("later", retry_after=600)]
    with pytest.raises(ZohoThrottled):
        one_export.submit()
    pause = one_export.part().not_before
    assert heed(one_export, "7")
    assert one_export.part().not_before == pause


def test_part_whose_job_was_created_without_a_response_continues_at_the_callback(one_export):
    one_export.zoho.refusals = [ZohoTimeout("no response")]
    with pytest.raises(ZohoTimeout):
        one_export.submit()
    one_export.zoho.jobs["7"] = job("7", created_time=one_export.now, query={"page": 1})
    one_export.advance(callback=Callback("7"))
    assert one_export.part().job_id == "7"
