"""Seeded choice of views: groups of one scene's views that see the same surfaces.

A pure function of what the survey measured (rotations and overlaps of all pairs of views), the
rules and the seed. Two views are *linked* when each sees at least ``min_overlap`` of the other;
every view of a group is linked to another, and all are linked through each other.
"""

from cameo_data.grouping.choose import choose_groups
from cameo_data.grouping.views import Group, Rules, Strategy

__all__ = ["Group", "Rules", "Strategy", "choose_groups"]
