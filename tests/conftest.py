"""Settings of the whole suite."""

from hypothesis import settings

# A busy machine is slow, not wrong: no example is failed for the time it took.
settings.register_profile("imblab", deadline=None)
settings.load_profile("imblab")
