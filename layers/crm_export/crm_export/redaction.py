"""Blanks secrets in text: Zoho and gateways may quote the request that they refuse.

`ExportError` redacts its own text, so that everything we store, log and return has passed through `redact`.
Code that shortens somebody else's text redacts it first, because half a secret is not recognised any more.
"""

import re

_BLANK = "***"
_SHORTEST = 8  # characters; a shorter value may be a word of the text
_REMEMBERED = 200  # values: more than one invocation uses
# One character as it may be quoted: percent-encoded (also twice), escaped as in JSON or HTML, or as it is.
_UNIT = re.compile(
    r"%(?:25)*([0-9A-Fa-f]{2})|\\+u00([0-9A-Fa-f]{2})|&#x([0-9A-Fa-f]{2});|\\+([\"'/])|([\s\S])"
)
# Secrets that this process may not know: another container's token, or the signature of a callback URL.
_FORMS = re.compile(
    r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])"  # a signature, ours or AWS's
    r"|\b1000\.[0-9A-Za-z]{16,}(?:\.[0-9A-Za-z]+)*"  # a token of Zoho's
    r"|(?:Zoho-oauthtoken|Bearer) [^\s\"',;<>&\\]{16,}"
    r"|(?:refresh_token|access_token|client_secret|X-Amz-(?:Signature|Credential|Security-Token))=[^&\s\"']+"
)
_WORD = re.compile(r"[A-Za-z]+(?:_[A-Za-z]+)*")  # no secret, but perhaps one of Zoho's codes
_known: dict[str, None] = {}  # in the order in which they were last used


def remember(secret: str) -> None:
    """Blank this value in every text from now on."""
    if len(secret) >= _SHORTEST and not _WORD.fullmatch(secret):
        _known.pop(secret, None)
        _known[secret] = None
        while len(_known) > _REMEMBERED:
            _known.pop(next(iter(_known)), None)


def redact(text: str) -> str:
    """Return the text with `***` for every secret in it, however its characters are encoded."""
    if not any(sign in text for sign in "%\\&"):
        return _without(_spans(text), text)
    units = list(_UNIT.finditer(text))
    starts = [*(unit.start() for unit in units), len(text)]
    decoded = "".join(map(_character, units))
    return _without([(starts[start], starts[end]) for start, end in _spans(decoded)], text)


def _without(spans: list[tuple[int, int]], text: str) -> str:
    kept, at = "", 0
    for start, end in spans:
        if start >= at:
            kept += text[at:start] + _BLANK
        at = max(at, end)
    return kept + text[at:]


def _character(unit: re.Match[str]) -> str:
    *encoded, escaped, itself = unit.groups()
    code = next(filter(None, encoded), None)
    return chr(int(code, 16)) if code else escaped or itself


def _spans(plain: str) -> list[tuple[int, int]]:
    """Return where secrets begin and end, in order."""
    spans = [found.span() for found in _FORMS.finditer(plain)]
    for secret in list(_known):
        start = plain.find(secret)
        while start >= 0:
            spans.append((start, start + len(secret)))
            start = plain.find(secret, start + len(secret))
    return sorted(spans)


def printable(text: str) -> str:
    """Return somebody else's text without characters that would control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
