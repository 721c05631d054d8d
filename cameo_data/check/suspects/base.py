"""What every suspect is made of: its name, what it may look at, and the readings that undo it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Literal, TypedDict

import numpy as np

from cameo_data.check.matching import MatchedPair
from cameo_data.check.measure import Reading
from cameo_data.check.screen import Screen
from cameo_data.check.views import CheckedView
from cameo_data.types import DepthCodec, DepthMap, FloatArray, Scene

# A scale that is this near a known one is that one; nearer to 1 than this is calibration.
SAME_SCALE = 1.06
LEAST_SCALE = 1.06
# Pairs that numbers are fitted to.
FITTED_PAIRS = 12


class Suspect(StrEnum):
    """The mistakes that a check knows; ``fixes`` says what each is and what undoes it."""

    POSES_INVERTED = "poses_inverted"
    OPENGL_AXES = "opengl_axes"
    POSES_INVERTED_OPENGL_AXES = "poses_inverted_opengl_axes"
    CAMERAS_TURNED = "cameras_turned"
    CAMERA_CONVENTION = "camera_convention"
    ROTATION_INVERTED = "rotation_inverted"
    QUATERNION_ORDER = "quaternion_order"
    DISPARITY_DIRECTION = "disparity_direction"
    TRAJECTORY_OFFSET = "trajectory_offset"
    INTRINSICS_SIZE = "intrinsics_size"
    FIELD_OF_VIEW_SIDE = "field_of_view_side"
    PRINCIPAL_POINT_SWAPPED = "principal_point_swapped"
    FOCAL_LENGTH = "focal_length"
    FRAMES_CROPPED = "frames_cropped"
    FRAMES_PADDED = "frames_padded"
    FRAMES_STRETCHED = "frames_stretched"
    HALF_PIXEL = "half_pixel"
    FRAMES_TURNED = "frames_turned"
    PICTURES_TURNED = "pictures_turned"
    DEPTH_TURNED = "depth_turned"
    DEPTH_ALONG_RAY = "depth_along_ray"
    DEPTH_NOT_ALONG_RAY = "depth_not_along_ray"
    DEPTH_SCALE = "depth_scale"
    DEPTH_CODEC = "depth_codec"
    DEPTH_CROP = "depth_crop"
    DEPTH_OFFSET = "depth_offset"
    COLOUR_INTRINSICS = "colour_intrinsics"
    COLOUR_NOT_REGISTERED = "colour_not_registered"
    FRAMES_EXCHANGED = "frames_exchanged"
    FRAME_DOUBLED = "frame_doubled"
    DEPTH_OF_ANOTHER_FRAME = "depth_of_another_frame"


@dataclass(eq=False)
class Context:
    """What suspects may look at: the scene, the views and pairs, and which frames were read."""

    scene: Scene
    views: Sequence[CheckedView]
    pairs: Sequence[MatchedPair]

    @cached_property
    def screen(self) -> Screen:
        """Of all pairs."""
        return Screen(self.views, self.pairs)

    @cached_property
    def small_screen(self) -> Screen:
        """Of some pairs."""
        tracked = [pair for pair in self.pairs if len(pair.tracks_a)][:FITTED_PAIRS]
        return Screen(self.views, self.some_pairs or tracked)

    @cached_property
    def some_pairs(self) -> Sequence[MatchedPair]:
        """Some pairs with features, to fit numbers to."""
        featured = [pair for pair in self.pairs if len(pair.xy_a)]
        return featured[:: max(1, len(featured) // FITTED_PAIRS)][:FITTED_PAIRS]

    @property
    def featured(self) -> bool:
        """Whether any pair has matched features or tracks, which need no depth."""
        return any(len(pair.xy_a) or len(pair.tracks_a) for pair in self.pairs)


Names = tuple[tuple[str, str], ...]  # pairs of frame ids


class Evidence(TypedDict, total=False):
    """What the search found out about a mistake, and its fix needs; each has its own few keys."""

    K: FloatArray  # (3, 3) of the pictures, without the mistake
    ratio: tuple[float, float]  # (x, y) by which K is to be scaled
    focal_ratio: float  # by which the focal lengths are
    shift: float  # of the principal point, in pixels
    turn_deg: int  # clockwise, a multiple of 90
    axes: FloatArray  # (3, 3) to multiply cam_from_world by, from the left
    way: str  # how rotation and translation are confused, in words
    read_as: Literal["wxyz", "xyzw"]  # the order in which quaternions were read
    factor: float  # by which depth is to be multiplied
    codec: DepthCodec
    zoom: tuple[float, float]  # (x, y) of the depth against the pictures
    offset: float  # frames by which poses or depths are late, or x from depth to colour camera
    frames: tuple[str, str]  # exchanged, or the copy and what it copies
    owners: Names  # (frame, where its depth lies)
    copies: Names  # (frame, whose depth it has)


@dataclass(frozen=True, eq=False)
class Variant:
    """A reading without one mistake.

    Attributes:
        values: what ``fixes`` needs to say how to apply it.
    """

    suspect: Suspect
    reading: Reading
    values: Evidence = field(default_factory=Evidence)


Variants = Iterator[Variant]
Maker = Callable[[Context, Reading], Variants]


def times(depth: DepthMap, factor: FloatArray | float) -> DepthMap:
    """The map in another unit."""
    return DepthMap((depth.z * factor).astype(np.float32), depth.valid)


def scaled(base: Reading, factor: float) -> Reading:
    """The reading with depth in another unit."""
    return replace(base, depths=tuple(depth and times(depth, factor) for depth in base.depths))


def with_focal(K: FloatArray, fx: FloatArray, fy: FloatArray) -> FloatArray:
    """(V, 3, 3) of other focal lengths (V,)."""
    out = K.copy()
    out[:, 0, 0], out[:, 1, 1] = fx, fy
    return out


def zoomed(K: FloatArray, ratio: float) -> FloatArray:
    """(V, 3, 3) with both focal lengths times a ratio, about the same centre."""
    return np.asarray(K * np.array([[ratio, 1, 1], [1, ratio, 1], [1, 1, 1]]), np.float64)
