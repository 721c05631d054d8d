"""Settings that the trainer's tests share."""

import pytest
import runs
import torch

from cameo_train import models

# The tensors are tiny and pytest runs several processes: more threads only wait for each other.
torch.set_num_threads(1)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset ``small``."""
    monkeypatch.setitem(models.presets(), "small", runs.SMALL)
