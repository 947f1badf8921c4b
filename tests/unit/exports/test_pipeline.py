"""A function that uses what its settings do not provide says what is missing."""

import pytest

from crm_export.errors import ConfigurationError
from crm_export.exports.pipeline import Pipeline


def test_a_member_that_is_not_provided_is_named():
    with pytest.raises(ConfigurationError, match="'submit_queue', which its settings do not provide"):
        Pipeline().submit_queue.send("export", 1, group="acct-1")


def test_a_function_that_is_not_provided_is_named():
    with pytest.raises(ConfigurationError, match="'link', which its settings do not provide"):
        Pipeline().link("results/a.csv")
