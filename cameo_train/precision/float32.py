"""Arithmetic that does not depend on the process's settings, as far as the hardware allows.

Two settings would silently change results: float32 products in TF32 or bfloat16, which keep three
digits (cuDNN convolutions use TF32 by default), and autocast.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def float32_as_it_is(device: torch.device) -> Iterator[None]:
    """Products and convolutions in float32, cuDNN deterministic; restores the settings after."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(
                enabled=torch.backends.cudnn.enabled,
                deterministic=True,
                benchmark=False,
                allow_tf32=False,
            ),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
