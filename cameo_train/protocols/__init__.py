"""Protocols of published evaluations by name, tested against the numbers of the published code.

They differ in nearly everything that a precision depends on (which points are matched, how matches
are ranked and how many count, in which pixels an error is measured), so a number means little
without its protocol's description, which belongs in every table.
"""

from cameo_train.protocols.cameo import GroupErrors, cameo_matches, group_recalls
from cameo_train.protocols.named import (
    PROTOCOLS,
    NamedProtocol,
    PairErrors,
    Recalls,
    named_protocol,
    precision_at,
    recalls,
)
from cameo_train.protocols.probe3d import navi_errors, points_of, scannet_errors

__all__ = [
    "PROTOCOLS",
    "GroupErrors",
    "NamedProtocol",
    "PairErrors",
    "Recalls",
    "cameo_matches",
    "group_recalls",
    "named_protocol",
    "navi_errors",
    "points_of",
    "precision_at",
    "recalls",
    "scannet_errors",
]
