"""The arguments of `python -m zoho_simulator` that are refused before it serves."""

import pytest

from zoho_simulator.__main__ import main


@pytest.mark.parametrize(
    ("argument", "count"), [("--records=-1", "-1"), ("--module=Contacts=x", "x"), ("--module=Contacts", "")]
)
def test_what_is_not_a_number_of_records_is_refused(argument, count, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([argument])
    assert f"{count!r} is not a number of records" in capsys.readouterr().err
