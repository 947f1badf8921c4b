"""Secrets are blanked by value and by form, however they are encoded, and nothing else is."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_export.errors import ExportError, TokenInvalidated, ZohoUnavailable
from crm_export.exports.model import Failure
from crm_export.redaction import redact, remember
from crm_export.zoho.bulk_read import parse_job
from crm_export.zoho.refusals import clean_text, error_from

TOKEN, SECRET, SIGNATURE = "1000.ab12cd34.ef56", 'a "secret" of +/% ours', "0a9f" * 16
ENCODINGS = {
    "plain": lambda text: text,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "every character percent-encoded": lambda text: "".join(f"%{ord(sign):02x}" for sign in text),
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps({"header": text})),
    "JSON with escapes": lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
    "HTML": lambda text: "".join(f"&#x{ord(sign):02X};" for sign in text),
}


@pytest.fixture(autouse=True)
def secrets():
    remember(TOKEN)
    remember(SECRET)
    for word in ("INVALID_TOKEN", "invalid_client", "Passwords"):
        remember(word)


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("secret", [TOKEN, SECRET])
def test_known_secret_is_blanked_however_it_is_encoded(encode, secret):
    redacted = redact(f"a {encode(f'x{secret}y')} b")
    assert encode(secret).strip('"') not in redacted
    assert (redacted[:2], redacted[-2:], redacted.count("***")) == ("a ", " b", 1)


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize(
    ("before", "secret"),
    [
        ("https://x/v1/e/zoho/bulk-read/callback/e/1/", SIGNATURE),
        ("https://x/callback/e/1/", SIGNATURE.upper()),
        ("Authorization: Zoho-oauthtoken ", "of-another-container"),
        ("Bearer ", "of-another-container"),
        ("", "1000.0123456789abcdef0123456789abcdef.fedcba98"),
        ("https://s3/x?X-Amz-Signature=", SIGNATURE),
        ("https://s3/x?X-Amz-Security-Token=", "FwoGZXIvYXdzE=="),
        ("https://s3/x?X-Amz-Credential=", "AKIA0/20261126/us-east-1/s3"),
        ("grant_type=refresh_token&refresh_token=", "1000.x"),
    ],
)
def test_secret_that_this_process_does_not_know_is_blanked_by_its_form(encode, before, secret):
    text = encode(f"{before}{secret}&")
    redacted = redact(text)
    assert encode(secret).strip('"') not in redacted
    assert redacted.count("***") == 1


@pytest.mark.parametrize(
    "text",
    [
        "Amount is 1000.25, 100 % of it",
        "crc 0a9f0a9f in C:\\temp\\u0041",
        "4150868000004716016",
        "x" * 64,
        "20261122T130501Z-0123456789abcdef",
        "https://www.zohoapis.eu/crm/v8/Leads?fields=a%2Cb",
        "Access Token is not Found",
        "%zz &#x; &amp; \\",
        "Bearer token",
        "INVALID_TOKEN, invalid_client and Passwords",
    ],
)
def test_other_text_is_unchanged(text):
    assert redact(text) == text


@given(st.text(max_size=80))
def test_text_without_secrets_is_unchanged(text):
    assert redact(text) == text


def test_several_secrets_are_blanked_and_the_rest_is_kept():
    assert redact(f"{TOKEN}|{SIGNATURE}|{TOKEN}€{TOKEN}{TOKEN}") == "***|***|***€******"


def test_text_is_redacted_before_it_is_shortened():
    assert clean_text(f"{'x' * 20} {TOKEN}", 30) == f"{'x' * 20} ***"


def test_every_error_is_redacted_in_all_that_is_stored_and_returned():
    error = ZohoUnavailable(
        f"m {TOKEN}", zoho_code=f"c {TOKEN}", request_id=f"i {TOKEN}", remedy=f"r {TOKEN}"
    )
    assert (error.message, str(error), error.zoho_code) == ("m ***", "m ***", "c ***")
    assert (error.request_id, error.remedy) == ("i ***", "r ***")
    assert vars(Failure.of(error)) == {"code": "ZOHO_UNAVAILABLE", "message": "m ***", "remedy": "r ***"}
    assert TOKEN not in TokenInvalidated(TOKEN).remedy
    assert ExportError(SIGNATURE).message == "***"


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_refusal_that_quotes_our_request_loses_its_secrets(encode):
    url = f"https://x/v1/e/zoho/bulk-read/callback/e/1/{SIGNATURE}"
    quoted = encode(f"Authorization: Zoho-oauthtoken {TOKEN}; url={url};")
    details = {"json_path": quoted, "supported": [quoted], "header": quoted}
    body = json.dumps({"code": "INVALID_DATA", "message": quoted, "status": "error", "details": details})
    error = error_from(400, body.encode(), {"X-REQUEST-ID": quoted}, "POST /x")
    shown = f"{error.message} {error.request_id} {error.remedy}"
    assert encode(TOKEN).strip('"') not in shown
    assert SIGNATURE not in shown


def test_failure_of_a_job_that_quotes_the_callback_loses_its_signature():
    quoted = quote(f"https://x/v1/e/zoho/bulk-read/callback/e/1/{SIGNATURE}", safe="")
    result = {"error_message": {"code": "CALLBACK_FAILURE", "message": f"Callback failed: {quoted}"}}
    job = parse_job({"state": "FAILURE", "result": result}, "1")
    with pytest.raises(ExportError) as raised:
        raise job.failure()
    assert "callback%2Fe%2F1%2F***" in raised.value.message
    assert SIGNATURE not in raised.value.message
