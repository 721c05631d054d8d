"""Two posed depth maps -> where each point went, and whether it is still seen."""

from cameo_data.correspondence.core import (
    PreparedView,
    correspond,
    correspond_group,
    correspond_prepared,
    prepare,
    sample_depth,
)

__all__ = [
    "PreparedView",
    "correspond",
    "correspond_group",
    "correspond_prepared",
    "prepare",
    "sample_depth",
]
