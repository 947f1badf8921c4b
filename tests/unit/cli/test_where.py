"""`--where`: the criteria that a condition means, and errors with a caret."""

import pytest

from crm_export.zoho.criteria import check_criteria
from crm_export_cli.exits import CliError, Exit
from crm_export_cli.where import parse_where


def one(field, comparator, value):
    return {"field": {"api_name": field}, "comparator": comparator, "value": value}


def group(operator, *members):
    return {"group_operator": operator, "group": list(members)}


A, B, C = one("A", "equal", "1"), one("B", "equal", "2"), one("C", "equal", "3")


@pytest.mark.parametrize(
    ("text", "criteria"),
    [
        ("Stage = 'Won'", one("Stage", "equal", "Won")),
        ('Stage <> "It\'s"', one("Stage", "not_equal", "It's")),
        ("Last_Name = 'O''Hara'", one("Last_Name", "equal", "O'Hara")),
        ("Amount>=-0.10", one("Amount", "greater_equal", "-0.10")),
        ("Account_Name.Industry = 'x'", one("Account_Name.Industry", "equal", "x")),
        ("Stage IN ('a', 'b')", one("Stage", "in", ["a", "b"])),
        ("Stage not in ('a')", one("Stage", "not_in", ["a"])),
        ("Name contains 'and'", one("Name", "contains", "and")),
        ("Name not contains 'x'", one("Name", "not_contains", "x")),
        ("Name starts with 'x'", one("Name", "starts_with", "x")),
        ("Name ends with 'x'", one("Name", "ends_with", "x")),
        ("Email is null", one("Email", "equal", "${EMPTY}")),
        ("Email is not null", one("Email", "not_equal", "${EMPTY}")),
        ("not Email is not null", one("Email", "equal", "${EMPTY}")),
        ("Active = true", one("Active", "equal", True)),
        ("Active != true", one("Active", "equal", False)),
        ("Due between 2026-01-01 and 2026-02-01", one("Due", "between", ["2026-01-01", "2026-02-01"])),
        (
            "At > 2026-02-22T15:39:26+05:30 and At < 2026-02-23T00:00:00Z",
            group(
                "and",
                one("At", "greater_than", "2026-02-22T15:39:26+05:30"),
                one("At", "less_than", "2026-02-23T00:00:00Z"),
            ),
        ),
        ("N between 1 and 2", group("and", one("N", "greater_equal", "1"), one("N", "less_equal", "2"))),
        ("N not between 1 and 2", group("or", one("N", "less_than", "1"), one("N", "greater_than", "2"))),
        ("A = 1 and B = 2 and C = 3", group("and", A, B, C)),
        ("A = 1 or B = 2 and C = 3", group("or", A, group("and", B, C))),
        ("(A = 1 or B = 2) and C = 3", group("and", group("or", A, B), C)),
        (
            "not (A = 1 and B > 2)",
            group("or", one("A", "not_equal", "1"), one("B", "less_equal", "2")),
        ),
    ],
)
def test_condition_becomes_criteria_that_pass_the_check(text, criteria):
    assert parse_where(text) == criteria
    assert check_criteria(criteria) == criteria


def test_every_digit_of_a_number_is_kept():
    assert parse_where("A = 12345678901234567890.10")["value"] == "12345678901234567890.10"


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("", 0, "API name of a field"),
        ("Amount >", 8, "value"),
        ("Amount > and Stage = 'x'", 9, "value"),
        ("Amount ! 3", 7, "cannot be read"),
        ("Stage = Won", 8, "quotes"),
        ("Stage = 'Won", 8, "closing quote"),
        ("Stage = null", 8, "is null"),
        ("Stage like 'x'", 6, "comparison"),
        ("(A = 1", 6, "parenthesis"),
        ("A = 1 B = 2", 6, "and, or"),
        ("A = 1 and", 9, "field"),
        ("not Name starts with 'x'", 9, "opposite"),
        ("Name not starts with 'x'", 5, "opposite"),
        ("Stage in 'x'", 9, "list"),
        ("Stage in ()", 10, "value"),
        ("A = 1.2.3", 4, "cannot be read"),
        ("(" * 26, 25, "levels"),
        ("A = 1 and " * 20 + "B =", 203, "value"),
    ],
)
def test_error_shows_a_caret_under_the_position(text, at, why):
    with pytest.raises(CliError) as caught:
        parse_where(text)
    message, shown, caret = caught.value.message.splitlines()
    assert caught.value.exit_code is Exit.USAGE
    assert why in message
    first = max(at - 30, 0)
    assert caret.index("^") - 2 == at - first
    assert shown[2:] == text[first : first + 54]
    assert max(map(len, (shown, caret))) <= 60
