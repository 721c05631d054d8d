"""The usual mistakes in reading a data set, each undone on cameras and depths that have been read.

A suspect gives one or more variants: the reading as it would be had the mistake not been made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cameo_data import camera as cameras
from cameo_data import depth_io, transforms
from cameo_data.check import triangulation
from cameo_data.check.measure import Reading
from cameo_data.check.views import CheckedView, MatchedPair, read_depth_again
from cameo_data.types import DepthMap, FloatArray, Scene

# Image sizes that intrinsics are mistaken for: halves, quarters, thirds, and 1080p, 720p, 480p.
SIZE_RATIOS = (2.0, 4.0, 8.0, 3.0, 1.5, 2.25)
# Aspects of films and photographs.
ASPECTS = (16 / 9, 4 / 3, 3 / 2)
# Depth units that are mixed up: metres, millimetres, centimetres, tenths; TUM's 1/5000 against
# 1/1000; CO3D's and others' halves and quarters; 1/256 (KITTI), 1/4000 and 1/6553.5 of indoor sets.
SCALES = (1000.0, 100.0, 10.0, 5.0, 4.0, 2.0, 256.0, 3.90625, 6.5535)
# A scale that is this near a known one is that one; nearer to 1 than this is calibration.
SAME_SCALE = 1.06
LEAST_SCALE = 1.06
# Cameras that are turned against each other by less are a rectified rig.
RECTIFIED_DEG = 0.01
# Codecs of 16-bit images that one file may be mistaken for.
CODECS_16 = ("uint16", "uint16_swapped", "sun_rotated", "nyu_disparity", "float16")


@dataclass(frozen=True, eq=False)
class Context:
    """What suspects may look at: the scene, the views and pairs, and which frames were read."""

    scene: Scene
    views: Sequence[CheckedView]
    pairs: Sequence[MatchedPair]


@dataclass(frozen=True, eq=False)
class Variant:
    """A reading without one mistake.

    Attributes:
        suspect: key of ``SUSPECTS``.
        values: what ``fixes`` needs to say how to apply it.
    """

    suspect: str
    reading: Reading
    values: dict[str, Any] = field(default_factory=dict)


Variants = Iterator[Variant]


def inverted_poses(context: Context, base: Reading) -> Variants:
    if _rectified(base):
        return  # a turned baseline is all that an inversion does then
    poses = base.cam_from_world
    yield Variant("poses_inverted", replace(base, cam_from_world=transforms.invert(poses)))


def opengl_axes(context: Context, base: Reading) -> Variants:
    poses = transforms.OPENCV_FROM_OPENGL @ base.cam_from_world
    yield Variant("opengl_axes", replace(base, cam_from_world=poses))


def inverted_opengl(context: Context, base: Reading) -> Variants:
    if _rectified(base):
        return
    poses = transforms.OPENCV_FROM_OPENGL @ transforms.invert(base.cam_from_world)
    yield Variant("poses_inverted_opengl_axes", replace(base, cam_from_world=poses))


def disparity_direction(context: Context, base: Reading) -> Variants:
    """The baseline of each camera points the other way, as when left and right are swapped."""
    poses = base.cam_from_world.copy()
    poses[:, :3, 3] *= -1
    yield Variant("disparity_direction", replace(base, cam_from_world=poses))


def trajectory_offset(context: Context, base: Reading) -> Variants:
    """Each frame has the pose of the one after or before it."""
    frames = context.scene.frames
    own = np.array([frame.camera.cam_from_world for frame in frames])
    for offset in (1, -1):
        places = np.array([view.place + offset for view in context.views])
        there = (places >= 0) & (places < len(frames))
        moved = own[np.where(there, places, 0)]
        yield Variant(
            "trajectory_offset",
            replace(base, cam_from_world=moved, usable=base.usable & there),
            {"offset": offset},
        )


def intrinsics_of_another_size(context: Context, base: Reading) -> Variants:
    """K scaled to the images, which it is not made for: by known ratios and by its own centre."""
    hw = np.array([view.hw for view in context.views], np.float64)
    centred = hw[:, ::-1] / (2 * base.K[:, :2, 2])  # per view, (x, y)
    ratios = [np.full(2, r) for ratio in SIZE_RATIOS for r in (ratio, 1 / ratio)]
    centre = np.median(centred, axis=0)
    if np.abs(np.log(centre)).max() > 0.03:
        ratios.append(centre)
    for ratio in ratios:
        scaled = base.K * np.array([*ratio, 1.0])[None, :, None]
        yield Variant(
            "intrinsics_size",
            replace(base, K=scaled),
            {"ratio": (float(ratio[0]), float(ratio[1]))},
        )


def cropped_frames(context: Context, base: Reading) -> Variants:
    """Square pixels where a stretch was assumed (a crop keeps the larger focal length)."""
    focal = base.K[:, [0, 1], [0, 1]]
    if np.abs(np.log(focal[:, 0] / focal[:, 1])).max() < 0.02:
        return
    for name, square in (("frames_cropped", focal.max(1)), ("frames_padded", focal.min(1))):
        K = _with_focal(base.K, square, square)
        yield Variant(name, replace(base, K=K), {"K": K[0]})


def stretched_frames(context: Context, base: Reading) -> Variants:
    """Pixels that are not square where a crop was assumed, for films of the usual aspects."""
    focal = base.K[:, [0, 1], [0, 1]]
    if np.abs(np.log(focal[:, 0] / focal[:, 1])).max() > 0.02:
        return
    aspect = np.array([view.hw[1] / view.hw[0] for view in context.views])
    for film in (*ASPECTS, *(1 / a for a in ASPECTS)):
        squeeze = aspect / film
        if np.abs(np.log(squeeze)).max() < 0.02:
            continue
        K = _with_focal(
            base.K, focal[:, 0] * np.minimum(squeeze, 1), focal[:, 1] / np.maximum(squeeze, 1)
        )
        yield Variant("frames_stretched", replace(base, K=K), {"K": K[0], "aspect": film})


def half_pixel(context: Context, base: Reading) -> Variants:
    for shift in (0.5, -0.5):
        K = base.K.copy()
        K[:, :2, 2] += shift
        yield Variant("half_pixel", replace(base, K=K), {"shift": shift})


def ray_depth(context: Context, base: Reading) -> Variants:
    """Distances along the rays taken for z-depths, and the reverse."""
    for name, power in (("depth_along_ray", -1), ("depth_not_along_ray", 1)):
        depths = tuple(
            depth and _times(depth, _ray_length(base.K[i], view, depth) ** power)
            for i, (view, depth) in enumerate(zip(context.views, base.depths, strict=True))
        )
        yield Variant(name, replace(base, depths=depths))


def depth_scale(context: Context, base: Reading) -> Variants:
    """Depth times a factor: as triangulated from matches, or any known one without matches."""
    measured = triangulation.depth_scale(base, context.views, context.pairs)
    if measured is not None:
        factors = [_known_scale(measured)]
    elif any(len(pair.xy_a) for pair in context.pairs):
        return
    else:
        factors = [f for scale in SCALES for f in (scale, 1 / scale)]
    for factor in factors:
        if abs(np.log(factor)) > np.log(LEAST_SCALE):
            yield Variant("depth_scale", _scaled(base, factor), {"factor": factor})


def depth_codec(context: Context, base: Reading) -> Variants:
    """The stored bits decoded another way, in the unit as it is or as triangulated."""
    used = {view.frame.depth.codec for view in context.views if view.frame.depth is not None}
    if len(used) != 1 or not used <= set(CODECS_16):
        return
    known = triangulation.depth_scale(base, context.views, context.pairs)
    if known is not None and abs(np.log(known)) < np.log(LEAST_SCALE):
        return  # what is right on the average is no scrambled bits
    for codec in CODECS_16:
        if codec in used or codec not in depth_io.CODECS:
            continue
        reading = replace(
            base, depths=tuple(_reread(context, view, codec) for view in context.views)
        )
        if not any(reading.depths):
            continue
        yield Variant("depth_codec", reading, {"codec": codec, "factor": 1.0})
        measured = triangulation.depth_scale(reading, context.views, context.pairs)
        if measured is not None and abs(np.log(measured)) > np.log(LEAST_SCALE):
            factor = _known_scale(measured)
            values = {"codec": codec, "factor": factor}
            yield Variant("depth_codec", _scaled(reading, factor), values)


def _rectified(base: Reading) -> bool:
    turned = transforms.relative_rotation_deg(base.cam_from_world)
    return bool(turned.max(initial=0.0) < RECTIFIED_DEG)


def _with_focal(K: FloatArray, fx: FloatArray, fy: FloatArray) -> FloatArray:
    out = K.copy()
    out[:, 0, 0], out[:, 1, 1] = fx, fy
    return out


def _ray_length(K: FloatArray, view: CheckedView, depth: DepthMap) -> FloatArray:
    """(h, w) length of the rays through the depth map's pixels, scaled so that z is 1."""
    xy = cameras.query_xy(depth.hw) * view.step
    return np.asarray(
        np.linalg.norm(cameras.unproject_to_camera(K, xy, np.ones(depth.hw)), axis=-1)
    )


def _times(depth: DepthMap, factor: FloatArray | float) -> DepthMap:
    return DepthMap((depth.z * factor).astype(np.float32), depth.valid)


def _scaled(base: Reading, factor: float) -> Reading:
    return replace(base, depths=tuple(depth and _times(depth, factor) for depth in base.depths))


def _known_scale(measured: float) -> float:
    """The known factor near a measured one, else the measured one to three digits."""
    known = [f for scale in SCALES for f in (scale, 1 / scale)]
    near = min(known, key=lambda factor: abs(np.log(factor / measured)))
    return near if abs(np.log(near / measured)) < np.log(SAME_SCALE) else float(f"{measured:.3g}")


def _reread(context: Context, view: CheckedView, codec: str) -> DepthMap | None:
    ref = view.frame.depth
    if ref is None:
        return None
    frame = replace(view.frame, depth=replace(ref, codec=codec))
    return read_depth_again(context.scene, view, frame)


CAMERA_SUSPECTS: tuple[Callable[[Context, Reading], Variants], ...] = (
    inverted_poses,
    opengl_axes,
    inverted_opengl,
    disparity_direction,
    trajectory_offset,
    intrinsics_of_another_size,
    cropped_frames,
    stretched_frames,
    half_pixel,
)
DEPTH_SUSPECTS: tuple[Callable[[Context, Reading], Variants], ...] = (
    ray_depth,
    depth_codec,  # before the scale: bits rotated by three are eight times the value up to 8 m
    depth_scale,
)
