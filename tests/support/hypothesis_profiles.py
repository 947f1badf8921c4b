"""Hypothesis profiles, loaded on import: `dev`, and `ci` with more examples where CI is set.

HYPOTHESIS_PROFILE chooses one. Neither has a deadline or the too_slow health check: both measure how busy the
machine is. A test that sets `max_examples` itself has that number in every profile.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), max_examples=250, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))
