"""Two posed depth maps -> where each point went, and whether it is still seen."""

from cameo_data.correspondence.core import (
    DepthSampler,
    PreparedView,
    correspond,
    correspond_group,
    correspond_prepared,
    prepare,
    sample_depth,
)

__all__ = [
    "DepthSampler",
    "PreparedView",
    "correspond",
    "correspond_group",
    "correspond_prepared",
    "prepare",
    "sample_depth",
]
