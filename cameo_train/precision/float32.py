"""Arithmetic that is the same whatever the process was set to before, as far as hardware goes.

Two settings would change results without a word: float32 products in TF32 or bfloat16, which keep
three digits (convolutions of cuDNN use TF32 by default), and autocast.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def float32_as_it_is(device: torch.device) -> Iterator[None]:
    """Products and convolutions in float32, cuDNN by algorithms that repeat; put back after."""
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
