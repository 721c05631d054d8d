"""Fixtures that all tests share."""

from pathlib import Path

import pytest

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real captures; tests that need it skip where it is absent."""
    if not REALDATA.is_dir():
        pytest.skip(f"real captures are not at {REALDATA}")
    return REALDATA
