"""Translates `--where "Amount > 1000 and Stage = 'Won'"` into the criteria of a Bulk Read query.

`crm_export.zoho.criteria` checks what comes out; Zoho checks it against the types of the fields.
https://www.zoho.com/crm/developer/docs/api/v8/bulk-read/create-job.html
"""

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from crm_export_cli.exits import CliError, Exit

type Criteria = dict[str, Any]

EMPTY = "${EMPTY}"
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<moment>\d{4}-\d\d-\d\d(?:T[0-9:]+(?:Z|[+-]\d\d:?\d\d)?)?(?![\w.:-]))
    |(?P<number>-?\d+(?:\.\d+)?(?![\w.]))
    |(?P<word>[A-Za-z_$][\w$]*(?:\.[\w$]+)*)
    |(?P<sign>!=|<>|>=|<=|=|>|<|\(|\)|,))""",
    re.VERBOSE | re.ASCII,
)
_SIGNS = {
    "=": "equal", "!=": "not_equal", "<>": "not_equal", ">": "greater_than", ">=": "greater_equal",
    "<": "less_than", "<=": "less_equal",
}  # fmt: skip
_PAIRS = (
    ("equal", "not_equal"), ("greater_than", "less_equal"), ("less_than", "greater_equal"),
    ("in", "not_in"), ("between", "not_between"), ("contains", "not_contains"),
)  # fmt: skip
_OPPOSITES = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
_KEYWORDS = {"and", "or", "not", "in", "between", "contains", "starts", "ends", "with", "is", "null"}
_OPERATORS = "= != > >= < <=, in (...), between ... and ..., contains, starts with, ends with, is null"
_DEEPEST = 25
_SHOWN_BEFORE, _SHOWN = 30, 54


@dataclass(frozen=True)
class _Token:
    kind: str  # text, moment, number, word, sign, end
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words

    def is_sign(self, *signs: str) -> bool:
        return self.kind == "sign" and self.text in signs


def parse_where(text: str) -> Criteria:
    """Return the criteria that a condition means.

    Numbers become strings, as in Zoho's OpenAPI, so that every digit reaches Zoho as it was typed. Raises
    CliError with a caret under the position, if the condition is not in the grammar.
    """
    return _Parser(text).parse()


class _Parser:
    """Reads one condition from left to right: or, and, not, parentheses, comparisons."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._next = 0
        self._depth = 0

    def parse(self) -> Criteria:
        found = self._either(negated=False)
        if self._token.kind != "end":
            self._refuse("and, or, or the end is expected here")
        return found

    # --- tokens ---

    def _split(self) -> list[_Token]:
        tokens, at, end = list[_Token](), 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                start = at + len(self._text[at:]) - len(self._text[at:].lstrip())
                closes = self._text[start] not in "'\""
                self._refuse("this cannot be read" if closes else "this text has no closing quote", start)
            kind = str(found.lastgroup)
            tokens.append(_Token(kind, found[kind], found.start(kind)))
            at = found.end()
        return [*tokens, _Token("end", "", end)]

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _take_word(self, *words: str) -> bool:
        found = self._token.is_word(*words)
        self._next += found
        return found

    def _expect(self, what: str, *, sign: str = "", word: str = "") -> None:
        if not (self._token.is_sign(sign) or self._token.is_word(word)):
            self._refuse(f"{what} is expected here")
        self._next += 1

    def _refuse(self, why: str, at: int | None = None) -> NoReturn:
        at = self._token.at if at is None else at
        first = max(at - _SHOWN_BEFORE, 0)
        shown = re.sub(r"\s", " ", self._text[first : first + _SHOWN])
        raise CliError(
            f"--where cannot be understood: {why}.\n  {shown}\n  {' ' * (at - first)}^",
            Exit.USAGE,
            code="WHERE_INVALID",
            remedy="Example: --where \"Amount > 1000 and Stage = 'Won'\". For the rest use --criteria FILE.",
        )

    # --- conditions ---

    def _either(self, *, negated: bool) -> Criteria:
        members = [self._all(negated=negated)]
        while self._take_word("or"):
            members.append(self._all(negated=negated))
        return _group("and" if negated else "or", members)

    def _all(self, *, negated: bool) -> Criteria:
        members = [self._one(negated=negated)]
        while self._take_word("and"):
            members.append(self._one(negated=negated))
        return _group("or" if negated else "and", members)

    def _one(self, *, negated: bool) -> Criteria:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"this is nested more than {_DEEPEST} levels deep")
        if self._take_word("not"):
            found = self._one(negated=not negated)
        elif self._token.is_sign("("):
            self._take()
            found = self._either(negated=negated)
            self._expect("a closing parenthesis", sign=")")
        else:
            found = self._comparison(negated=negated)
        self._depth -= 1
        return found

    def _comparison(self, *, negated: bool) -> Criteria:
        field = self._take_field()
        at = self._token.at
        if self._take_word("is"):
            negated ^= self._take_word("not")
            self._expect("null", word="null")
            return self._criterion(field, "equal", EMPTY, at, negated=negated)
        negated ^= self._take_word("not")
        token = self._take()
        if token.is_word("in"):
            return self._criterion(field, "in", self._take_list(), at, negated=negated)
        if token.is_word("between"):
            return self._between(field, at, negated=negated)
        if token.is_word("starts", "ends"):
            self._expect("with", word="with")
            return self._criterion(field, f"{token.text.lower()}_with", self._value(), at, negated=negated)
        if token.is_word("contains"):
            return self._criterion(field, "contains", self._value(), at, negated=negated)
        if not token.is_sign(*_SIGNS):
            self._refuse(f"a comparison is expected here ({_OPERATORS})", at)
        return self._criterion(field, _SIGNS[token.text], self._value(), at, negated=negated)

    def _take_field(self) -> str:
        token = self._token
        if token.kind != "word" or token.text.lower() in _KEYWORDS:
            self._refuse("the API name of a field is expected here")
        return self._take().text

    def _criterion(self, field: str, comparator: str, value: Any, at: int, *, negated: bool) -> Criteria:
        if negated:
            if comparator not in _OPPOSITES:
                self._refuse(f"Zoho has no opposite of {comparator}, so it cannot follow not", at)
            comparator = _OPPOSITES[comparator]
        if comparator == "not_equal" and isinstance(value, bool):  # of a boolean Zoho knows `equal` only
            comparator, value = "equal", not value
        return {"field": {"api_name": field}, "comparator": comparator, "value": value}

    def _between(self, field: str, at: int, *, negated: bool) -> Criteria:
        """Return a range. Zoho's own `between` is for dates; that of numbers becomes two comparisons."""
        is_moment = self._token.kind in {"moment", "text"}
        low = self._value()
        self._expect("and", word="and")
        high = self._value()
        if is_moment:
            return self._criterion(field, "between", [low, high], at, negated=negated)
        bounds = (("greater_equal", low), ("less_equal", high))
        members = [
            self._criterion(field, comparator, value, at, negated=negated) for comparator, value in bounds
        ]
        return _group("or" if negated else "and", members)

    # --- values ---

    def _take_list(self) -> list[Any]:
        self._expect("a list such as ('Won', 'Lost')", sign="(")
        values = [self._value()]
        while self._token.is_sign(","):
            self._take()
            values.append(self._value())
        self._expect("a comma or a closing parenthesis", sign=")")
        return values

    def _value(self) -> Any:
        token = self._token
        if token.is_word("true", "false"):
            return self._take().text.lower() == "true"
        if token.is_word("null"):
            self._refuse("null is compared with `is null` or `is not null`")
        if token.kind == "word" and token.text.lower() not in _KEYWORDS:
            self._refuse("text needs quotes")
        if token.kind not in {"text", "moment", "number"}:
            self._refuse("a value is expected here")
        self._take()
        if token.kind == "text":
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        return token.text


def _group(operator: str, members: list[Criteria]) -> Criteria:
    """Join criteria; a member that is joined in the same way is not nested."""
    if len(members) == 1:
        return members[0]
    flat = list[Criteria]()
    for member in members:
        flat += member["group"] if member.get("group_operator") == operator else [member]
    return {"group_operator": operator, "group": flat}
