"""Settings from environment variables."""

import pytest

from crm_export.errors import ConfigurationError
from crm_export.settings import ApiSettings, CallbackReceiverSettings


def test_empty_variable_is_not_set():
    env = {"DOWNLOAD_QUEUE_URL": "", "CALLBACK_SECRET_ID": "s"}
    with pytest.raises(ConfigurationError, match="DOWNLOAD_QUEUE_URL is not set"):
        CallbackReceiverSettings.from_env(env)


def test_setting_with_a_default_need_not_be_set():
    ours = ApiSettings(account_claim="account_id", owner_claim="uid", api_base_path="")
    assert (
        ApiSettings.from_env({}) == ApiSettings.from_env({"ACCOUNT_CLAIM": "", "API_BASE_PATH": ""}) == ours
    )
    env = {"DOWNLOAD_QUEUE_URL": "q", "CALLBACK_SECRET_ID": "s", "API_BASE_PATH": "crm"}
    assert CallbackReceiverSettings.from_env(env).api_base_path == "crm"
