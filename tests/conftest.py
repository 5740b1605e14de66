"""How many examples property tests try; WAYFARER_HYPOTHESIS=long is for `make test-all`; pytest loads it."""

import os

from hypothesis import settings

settings.register_profile("quick", deadline=None)
settings.register_profile("long", max_examples=3_000, deadline=None)
settings.load_profile(os.environ.get("WAYFARER_HYPOTHESIS", "quick"))
