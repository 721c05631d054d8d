"""Where each point of one posed depth map is in another view, and whether it is visible there."""

from cameo_data.correspondence.core import (
    DepthSampler,
    correspond,
    correspond_group,
    correspond_prepared,
    prepare,
    sample_depth,
)
from cameo_data.correspondence.prepared import PreparedView

__all__ = [
    "DepthSampler",
    "PreparedView",
    "correspond",
    "correspond_group",
    "correspond_prepared",
    "prepare",
    "sample_depth",
]
