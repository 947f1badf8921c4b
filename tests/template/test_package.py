"""What `make build` made can be deployed."""

import pytest

from local.host.processes import REPOSITORY
from local.package import check

BUILD = REPOSITORY / ".aws-sam" / "build"


@pytest.mark.skipif(not BUILD.is_dir(), reason="nothing is built")
def test_package_that_was_built_has_bytecode_and_the_data_of_all_services():
    """`make check` builds before it tests. If this fails after `sam build` alone, run `make build`."""
    check(BUILD)
