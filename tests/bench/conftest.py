from __future__ import annotations

import gc

import pytest

from mrfmask.bench import worker


@pytest.fixture(autouse=True, scope="package")
def quick_runs():
    """Each run is timed once, and what was imported is not searched for garbage before it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "ENOUGH_SECONDS", 0.0)
        gc.collect()
        gc.freeze()
        yield
        gc.unfreeze()
