"""Rows of matchers that choose their own points, such as SIFT keypoints and LightGlue.

A match is judged if it starts at a point that the other view sees; a match that starts elsewhere
has no known truth and is counted separately. These rows therefore measure how good a matcher's
matches are, not how many points it finds: read them together with their counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cameo_data.types import Verdict
from cameo_train.matchers.feature_model import KeypointMatcher
from cameo_train.matchers.grid_limits import distance_px
from cameo_train.matchers.group import Found, MatcherGroup, Row
from cameo_train.matchers.queries import maps_of
from cameo_train.protocols.measurement import Protocol

# Neighbouring pixels whose points land farther apart than this are on different surfaces, or on one
# that is seen at more than four times the size. Their landing places are not interpolated.
SPREAD_PX = 4.0


class OwnPoints:
    """Errors of the matches that a matcher gives."""

    def __init__(self, matcher: KeypointMatcher, spec: str, protocol: Protocol) -> None:
        self.matcher, self.protocol = matcher, protocol
        self.rows: Sequence[Row] = (
            Row(spec, matcher.name, "the matcher's own points and matches", "keypoints"),
        )
        self.notes: list[str] = []

    def found(self, groups: Sequence[MatcherGroup]) -> Iterator[list[Found]]:
        """Errors of the matches of all ordered pairs."""
        for group in groups:
            maps = maps_of(group.sample, 1)
            bins, errors, unjudged = [], [], 0
            for a, b in self._pairs(group):
                with torch.no_grad():
                    points = self.matcher.matches(group.images[a], group.images[b])[:2]
                xy0, xy1 = (x.double().cpu().numpy() for x in points)
                if not (np.isfinite(xy0).all() and np.isfinite(xy1).all()):
                    raise ValueError(
                        f"{self.matcher.name}: NaN or infinite matches in sample {group.key}, view "
                        f"{a} to {b}; measure without this row"
                    )
                visible = (maps.verdict[a, b] == Verdict.VISIBLE) & (
                    maps.confidence[a, b] >= self.protocol.min_confidence
                )
                true, known = landing(xy0, maps.xy[a, b], visible)
                unjudged += int((~known).sum())
                errors.append(distance_px(xy1[known], true[known]))
                number = self.protocol.bin_of(float(group.sample.rotation_deg[a, b]))
                bins.append(np.full(int(known.sum()), number))
            none = np.zeros(0)
            bin_ = np.concatenate([*bins, none]).astype(np.int64)
            yield [Found(bin_, np.concatenate([*errors, none]), unjudged=unjudged)]

    def _pairs(self, group: MatcherGroup) -> list[tuple[int, int]]:
        views = range(len(group.images))
        inside = group.sample.rotation_deg
        return [
            (a, b)
            for a in views
            for b in views
            if a != b and self.protocol.bin_of(float(inside[a, b])) >= 0
        ]


def landing(
    xy0: NDArray[np.float64], xy1: NDArray[np.float32], visible: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Positions in view 1 of points (N, 2) of view 0, and whether they are known.

    Between four pixel centres on one surface the landing places are interpolated; elsewhere the
    pixel's own landing place is shifted by the point's offset from the pixel's centre.

    Args:
        xy1, visible: (H, W, 2) and (H, W) values at the pixels' centres.
    """
    height, width = visible.shape
    limit = np.array([width - 1, height - 1])
    column, row = np.clip(np.floor(xy0), 0, limit).astype(int).T
    inside = ((xy0 >= 0) & (xy0 < limit + 1)).all(1)
    known = inside & visible[row, column]
    found = xy1[row, column] + (xy0 - np.stack([column, row], 1) - 0.5)

    place = np.clip(xy0 - 0.5, 0, limit)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, limit)
    share = place - low
    corners, weights, together = [], [], known.copy()
    for x, share_x in ((low[:, 0], 1 - share[:, 0]), (high[:, 0], share[:, 0])):
        for y, share_y in ((low[:, 1], 1 - share[:, 1]), (high[:, 1], share[:, 1])):
            together &= visible[y, x]
            corners.append(xy1[y, x].astype(np.float64))
            weights.append(share_x * share_y)
    places = np.stack(corners)[:, together]
    near = np.ptp(places, 0).max(1, initial=0) <= SPREAD_PX
    blended = (np.stack(weights)[:, together, None] * places).sum(0)
    chosen = np.flatnonzero(together)[near]
    found[chosen] = blended[near]
    return found, known
