"""Single frames with the pose, the picture or the depth of another frame.

Only frames that were found to disagree with the others are looked at (``odd``): the pose that suits
such a frame is looked for among those of all frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from cameo_data.check import geometry
from cameo_data.check.measure import Reading, measure
from cameo_data.check.odd import LEAST_BAD_DEPTH, LEAST_BAD_EPIPOLAR, OddFrame
from cameo_data.check.suspects.base import Context, Evidence, Suspect, Variant, Variants
from cameo_data.check.views import read_depth_again, read_views
from cameo_data.types import DepthMap, FloatArray

# (frame, other frame), once per mistake
# Poses and depth maps tried are those of this many frames about the odd one.
REACH = 300
DEPTH_REACH = 3
# Another frame's pose or depth is the right one if it is this many times better.
TIMES_BETTER = 3.0
# Mean difference of levels below which two pictures are the same one, stored twice.
SAME_PICTURE = 0.5


def exchanged_frames(context: Context, base: Reading, odd: Sequence[OddFrame]) -> Variants:
    """Two frames that have each other's pose, or one that shows what another shows."""
    astray = [found.view for found in odd if found.part == "pose"]
    owners = {view: _pose_owner(context, base, view, astray) for view in astray}
    views = {view.place: i for i, view in enumerate(context.views)}
    ids = [frame.frame_id for frame in context.scene.frames]
    for view, place in owners.items():
        if place is None:
            continue
        other = views.get(place)
        own_place = context.views[view].place
        names = (ids[own_place], ids[place])
        mutual = other is not None and owners.get(other) == own_place
        if mutual and other is not None and view > other:
            continue  # found from the other side
        if mutual and other is not None:
            for reading in _swaps(base, view, other):
                yield Variant(Suspect.FRAMES_EXCHANGED, reading, {"frames": names})
        else:
            doubled = _same_picture(context, view, place, other)
            suspect = Suspect.FRAME_DOUBLED if doubled else Suspect.FRAMES_EXCHANGED
            pose = context.scene.frames[place].camera.cam_from_world
            for reading in _given(base, view, pose, other):
                yield Variant(suspect, reading, {"frames": names})


def depth_of_another_frame(context: Context, base: Reading, odd: Sequence[OddFrame]) -> Variants:
    """Frames with the depth of a neighbour, or of another odd one; all of them at once.

    A copy is left out, of a depth map that lies elsewhere the place is said.
    """
    usual = {found.view: found.usual for found in odd if found.part == "depth"}
    deep = list(usual)
    depths = list(base.depths)
    copies: list[tuple[str, str]] = []
    owners: list[tuple[str, str]] = []
    for view in deep:
        maps = _near_depths(context, view, deep)
        own = context.scene.frames[context.views[view].place].frame_id
        copied = _copied(base.depths[view], maps)
        owner = None if copied is not None else _depth_owner(context, base, view, usual, maps)
        if copied is not None:
            depths[view] = None
            copies.append((own, context.scene.frames[copied].frame_id))
        elif owner is not None:
            depths[view] = maps[owner]
            owners.append((own, context.scene.frames[owner].frame_id))
    if copies or owners:
        values: Evidence = {"copies": tuple(copies), "owners": tuple(owners)}
        reading = replace(base, depths=tuple(depths))
        yield Variant(Suspect.DEPTH_OF_ANOTHER_FRAME, reading, values)
        yield from _exchanged_depths(context, base, reading, values)


def _exchanged_depths(
    context: Context, base: Reading, reading: Reading, values: Evidence
) -> Variants:
    """The same, and frames that did not stand out get the depth that was taken for theirs."""
    views = {view.frame.frame_id: i for i, view in enumerate(context.views)}
    depths = list(reading.depths)
    owners = dict(values["owners"])
    for own, other in values["owners"]:
        if other in views and other not in owners:
            place = context.views[views[own]].place
            maps = _near_depths(context, views[other], [views[own]])
            depths[views[other]] = maps.get(place)
            owners[other] = own
    if len(owners) > len(values["owners"]):
        both: Evidence = {**values, "owners": tuple(owners.items())}
        yield Variant(Suspect.DEPTH_OF_ANOTHER_FRAME, replace(base, depths=tuple(depths)), both)


def _pose_owner(context: Context, base: Reading, view: int, astray: Sequence[int]) -> int | None:
    """The place of the frame whose pose suits this view; None if none does clearly better."""
    frames, own = context.scene.frames, context.views[view].place
    places = sorted(range(len(frames)), key=lambda place: abs(place - own))[:REACH]
    costs = {
        place: _pose_cost(context, base, view, frames[place].camera.cam_from_world, astray)
        for place in places
    }
    best = min(costs, key=lambda place: costs[place])
    limit = LEAST_BAD_EPIPOLAR * float(np.hypot(*context.views[view].hw))
    good = costs[best] < limit and costs[best] * TIMES_BETTER < costs[own]
    return best if good else None


def _pose_cost(
    context: Context, base: Reading, view: int, pose: FloatArray, astray: Sequence[int]
) -> float:
    """Median over the view's pairs with views that are not astray, had it this pose."""
    poses = base.cam_from_world.copy()
    poses[view] = pose
    reading = replace(base, cam_from_world=poses)
    medians = []
    for pair in context.pairs:
        other = pair.b if pair.a == view else pair.a
        if view not in (pair.a, pair.b) or other in astray:
            continue
        xy = (pair.xy_a, pair.xy_b) if len(pair.xy_a) else (pair.tracks_a, pair.tracks_b)
        if len(xy[0]):
            K_a, K_b, b_from_a = base.K[pair.a], base.K[pair.b], reading.between(pair.a, pair.b)
            medians.append(np.median(geometry.epipolar_distance(K_a, K_b, b_from_a, *xy)))
    return float(np.median(medians)) if medians else np.inf


def _swaps(base: Reading, a: int, b: int) -> Iterator[Reading]:
    """Poses exchanged back; then the depth maps as well, as where pictures alone were exchanged."""
    order = np.arange(len(base.K))
    order[[a, b]] = b, a
    swapped = replace(base, cam_from_world=base.cam_from_world[order])
    yield swapped
    yield replace(swapped, depths=tuple(base.depths[i] for i in order))


def _given(base: Reading, view: int, pose: FloatArray, other: int | None) -> Iterator[Reading]:
    poses = base.cam_from_world.copy()
    poses[view] = pose
    reading = replace(base, cam_from_world=poses)
    yield reading
    if other is not None and base.depths[other] is not None:
        depths = list(base.depths)
        depths[view] = depths[other]
        yield replace(reading, depths=tuple(depths))


def _same_picture(context: Context, view: int, place: int, other: int | None) -> bool:
    one = context.views[view].rgb
    if other is None:
        read, _ = read_views(context.scene, [place])
        if not read:
            return False
        two = read[0].rgb
    else:
        two = context.views[other].rgb
    if one.shape != two.shape:
        return False
    return float(np.abs(one.astype(np.int16) - two).mean()) < SAME_PICTURE


def _near_depths(context: Context, view: int, deep: Sequence[int]) -> dict[int, DepthMap]:
    """Depth maps of frames near a view and of the odd ones, by place, in the view's pixels."""
    frames, own = context.scene.frames, context.views[view].place
    near = [own + step for step in range(-DEPTH_REACH, DEPTH_REACH + 1)]
    places = {*near, *(context.views[other].place for other in deep)} - {own}
    found = {}
    for place in sorted(place for place in places if 0 <= place < len(frames)):
        ref = frames[place].depth
        if ref is not None:
            moved = replace(context.views[view].frame, depth=ref)
            depth = read_depth_again(context.scene, context.views[view], moved)
            if depth is not None:
                found[place] = depth
    return found


def _copied(depth: DepthMap | None, maps: dict[int, DepthMap]) -> int | None:
    """The place of the frame that has the very same depth map."""
    for place, other in maps.items():
        if depth is not None and depth.hw == other.hw and np.allclose(depth.z, other.z, rtol=1e-4):
            return place
    return None


def _depth_owner(
    context: Context,
    base: Reading,
    view: int,
    usual: dict[int, float],
    maps: dict[int, DepthMap],
) -> int | None:
    """The place of the frame whose depth suits this view about as the others' suit each other."""
    now = base.depths[view]
    if now is None or not maps:
        return None
    costs = {p: _depth_cost(context, base, view, depth, list(usual)) for p, depth in maps.items()}
    best = min(costs, key=lambda place: costs[place])
    before = _depth_cost(context, base, view, now, list(usual))
    good = costs[best] < max(LEAST_BAD_DEPTH, 2 * usual[view])
    return best if good and costs[best] * TIMES_BETTER < before else None


def _depth_cost(
    context: Context, base: Reading, view: int, depth: DepthMap, deep: Sequence[int]
) -> float:
    """Median relative difference from the views that are not odd, had the view this depth."""
    depths = list(base.depths)
    depths[view] = depth
    reading = replace(base, depths=tuple(depths))
    medians = []
    for pair in context.pairs:
        other = pair.b if pair.a == view else pair.a
        if view in (pair.a, pair.b) and other not in deep:
            m = measure(reading, context.views, pair)
            residuals = [] if m is None else [d.residual for d in m.dense if len(d.residual)]
            medians += [float(np.median(np.abs(residual))) for residual in residuals]
    return float(np.median(medians)) if medians else np.inf
