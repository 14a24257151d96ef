from __future__ import annotations

from pathlib import Path

import pytest
from folders import picture
from typer.testing import CliRunner

from mrfmask.cli import app


@pytest.fixture
def infer():
    """Runs ``mrfmask infer`` with mean_field, which is quick, unless told otherwise."""

    def run(*arguments, code=0):
        words = [str(word) for word in arguments]
        if not {"--method", "--task", "--select"} & set(words):
            words += ["--method", "mean_field"]
        result = CliRunner().invoke(app, ["infer", *words])
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder with three pictures, one of them in a folder of its own."""
    picture(tmp_path / "photos" / "b.png", seed=1)
    picture(tmp_path / "photos" / "a.jpg", seed=2)
    picture(tmp_path / "photos" / "deep" / "c.PNG", seed=3)
    return tmp_path / "photos"
