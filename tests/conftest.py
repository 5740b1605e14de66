"""What every test may ask for, and how many examples property tests try; pytest loads it.

WAYFARER_HYPOTHESIS=long is for `make test-all`.
"""

import os

from hypothesis import settings

settings.register_profile("quick", deadline=None)
settings.register_profile("long", max_examples=3_000, deadline=None)
settings.load_profile(os.environ.get("WAYFARER_HYPOTHESIS", "quick"))

pytest_plugins = ["tests.support.postgres"]
