"""The version is defined once, in crm_export, and used wherever the program names itself."""

from importlib.metadata import version

from crm_export import PRODUCT, __version__
from crm_export.zoho.transport import make_session
from local.host.processes import REPOSITORY


def test_version_of_the_installed_project_is_that_of_the_package():
    assert version("zoho-crm-export") == __version__


def test_user_agent_names_the_version():
    assert make_session().headers["User-Agent"] == PRODUCT == f"zoho-crm-export/{__version__}"


def test_changelog_has_a_heading_for_the_version():
    assert f"\n## [{__version__}]" in (REPOSITORY / "CHANGELOG.md").read_text()
