"""Two posed depth maps -> where each point went, and whether it is still seen."""

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
