"""The arithmetic and the text of reports."""

import inspect
import io

import pytest
from rich.console import Console

from benchmarks.__main__ import BENCHMARKS, benchmark
from benchmarks.render import markdown, print_report, text_of
from benchmarks.report import Report, Table, interleaved, medians, ratio, run_interleaved, table_of


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_of_the_page_can_be_run_quickly(name):
    assert "quick" in inspect.signature(benchmark(name)).parameters


def test_rounds_are_interleaved():
    assert list(interleaved(["a", "b", "c"], 2)) == ["a", "b", "c", "a", "b", "c"]


def test_outcomes_of_interleaved_rounds_are_kept_by_name_in_order():
    numbers = iter(range(10))
    outcomes = run_interleaved(["a", "b"], 3, lambda name: f"{name}{next(numbers)}")
    assert outcomes == {"a": ["a0", "a2", "a4"], "b": ["b1", "b3", "b5"]}


def test_median_is_taken_for_each_figure_alone():
    samples = [{"cpu": 1.0, "peak": 30.0}, {"cpu": 9.0, "peak": 10.0}, {"cpu": 2.0, "peak": 20.0}]
    assert medians(samples) == {"cpu": 2.0, "peak": 20.0}


def test_ratio_to_nothing_is_not_a_number():
    assert ratio(3, 2) == 1.5
    assert ratio(3, 0) is None


def test_table_of_mappings_has_the_columns_of_the_first_row():
    table = table_of("t", [{"function": "a", "ms": 1}, {"function": "b"}])
    assert (table.columns, table.rows) == (["function", "ms"], [["a", 1], ["b", None]])


def test_small_numbers_keep_two_digits_and_large_ones_have_separators():
    cells = [None, "x", 1234567, 0.0, 0.00123, 0.0000061, 0.5, 12.345, 1234.5]
    assert [text_of(cell) for cell in cells] == [
        "–", "x", "1,234,567", "0.00", "0.0012", "6.1e-06", "0.50", "12.35", "1,234",
    ]  # fmt: skip


def test_markdown_escapes_what_a_page_would_read_as_table_or_formula():
    table = Table("Prices", ("a|b", "$"), [("x|y", 1.5)], "Costs $1.")
    text = markdown(Report("Cost", [table], facts={"Sum": "$2"}), "plots")
    assert "| x\\|y | 1.50 |" in text
    assert "Costs \\$1." in text
    assert "- Sum: **\\$2**" in text


def test_printed_tables_fit_80_columns():
    rows = [("a row whose name takes as many columns as a row's name may take", 1.0, 2.0, 3.0)]
    output = io.StringIO()
    print_report(
        Report("Landing", [Table("t", ("row", "x", "y", "z"), rows)]), Console(file=output, width=80)
    )
    assert max(map(len, output.getvalue().splitlines())) <= 80
