"""Hypothesis profiles: the same examples on every run; CROSSFM_HYPOTHESIS=few for slow (sanitizer) builds."""

import os

from hypothesis import settings

settings.register_profile("usual", max_examples=60, deadline=None, derandomize=True, database=None)
settings.register_profile("few", parent=settings.get_profile("usual"), max_examples=10)
settings.load_profile(os.environ.get("CROSSFM_HYPOTHESIS", "usual"))
