from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

# The tests of `make gpu` do without Hypothesis.
with suppress(ModuleNotFoundError):
    from hypothesis import HealthCheck, settings

    # The same examples in every run: a red test must be red again. More examples on request.
    settings.register_profile(
        "default",
        derandomize=True,
        deadline=None,
        max_examples=int(os.environ.get("MRFMASK_EXAMPLES", "60")),
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("default")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public instances with proven answers, kept beside the repository."""
    default = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("MRFMASK_SHARED_DATA", default))
    if not path.is_dir():
        pytest.skip(f"no data at {path}; set MRFMASK_SHARED_DATA")
    return path
