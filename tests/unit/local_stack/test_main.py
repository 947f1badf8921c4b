"""The arguments of `python -m local` that are refused before anything starts."""

import pytest

from local.__main__ import main


@pytest.mark.parametrize("command", ["demo", "up"])
@pytest.mark.parametrize("records", ["-1", "1.5", "many", ""])
def test_what_is_not_a_number_of_records_is_refused(command, records, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([command, f"--records={records}"])
    assert f"{records!r} is not a number of records" in capsys.readouterr().err
