"""Some tests of this folder are property tests."""

import tests.support.hypothesis_profiles  # noqa: F401
