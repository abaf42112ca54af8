"""Settings that hold for every test."""

from hypothesis import HealthCheck, settings

# No deadlines: a test never fails for being slow, and machines that run it are shared.
settings.register_profile("farm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("farm")
