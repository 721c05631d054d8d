"""Queries and keys of one attention layer of any model, and the layout of its tokens."""

from cameo_train.taps.adapters import TapAdapter, adapter_of
from cameo_train.taps.layers import official_order, resolve
from cameo_train.taps.layout import TapError, TokenLayout
from cameo_train.taps.tap import Tap, tap

__all__ = [
    "Tap",
    "TapAdapter",
    "TapError",
    "TokenLayout",
    "adapter_of",
    "official_order",
    "resolve",
    "tap",
]
