"""Settings from environment variables."""

import pytest

from crm_export.errors import ConfigurationError
from crm_export.settings import CallbackReceiverSettings


def test_empty_variable_is_not_set():
    env = {"EXPORTS_TABLE": "t", "DOWNLOAD_QUEUE_URL": "", "CALLBACK_SECRET_ID": "s"}
    with pytest.raises(ConfigurationError, match="DOWNLOAD_QUEUE_URL is not set"):
        CallbackReceiverSettings.from_env(env)
