"""Numbers of hypothesis examples: quick, `--all` and nightly."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Each profile scales a test's own number, which is that of `full`.
PROFILES = {"quick": 5, "full": 100, "nightly": 1_000}
LEAST = 5


def register_profiles() -> None:
    """Register the profiles by name, without deadlines."""
    for name, percent in PROFILES.items():
        settings.register_profile(
            name,
            max_examples=percent,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
    # With CI set, hypothesis repeats its examples; nightly runs must differ.
    settings.register_profile("nightly", settings.get_profile("nightly"), derandomize=False)


def examples(full: int) -> int:
    """Scale a test's own number of examples to the profile in use."""
    return max(LEAST, full * settings().max_examples // PROFILES["full"])
