"""The data that modules exchange: frozen records of NumPy arrays, validated once.

Conventions (axes, pixels, names): ``docs/conventions.md``. Shape letters: V views, H, W.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cameo_data import transforms
from cameo_data.errors import Failure

FloatArray = transforms.FloatArray  # float64
# A callback for the progress of a long command: stage, done, total.
Progress = Callable[[str, int, int], None]
Unit = Literal["metre", "arbitrary"]
# How to read an image whose EXIF orientation asks viewers to turn it; ``by_size`` takes the stored
# or the displayed pixels, whichever have the aspect of the camera, whose size is stated elsewhere.
ExifRule = Literal["refuse", "stored", "displayed", "by_size"]
# No real focal length or principal point is larger, and no real focal length is smaller than the
# inverse; such numbers make K singular in float64.
MOST_PIXELS = 1e9


# A new verdict takes the next code. ``tests/test_verdicts.py`` fails until these know it:
#
# - ``correspondence/kernel.py``: its code, and the branch that gives it;
# - ``correspondence/reference.py``, the slow twin: the same branch;
# - ``report/palette.py``: its colour and its meaning in a few words;
# - ``docs/conventions.md`` and ``docs/shards.md``: a row in each table.
#
# No test can tell whether these also need a change:
#
# - ``geometry/raycast.py``, the exact answer in rendered scenes;
# - ``report/matches.py`` and ``report/overlay.py``, which treat every code from OCCLUDED on as a
#   judged place with a confidence;
# - ``shards/layout.py``: older readers reject an unknown code, so the format gets a new version.
class Verdict(IntEnum):
    """The result of a query of view 0 in view 1: the first that holds, exactly one per query.

    The values are the uint8 codes in shards, so those in use never change.

    Attributes:
        NO_DEPTH: view 0 has no depth at the query, or the mask excludes it.
        BEHIND: the point lies behind camera 1.
        OUTSIDE: it lands outside image 1.
        UNKNOWN: view 1 has no depth there, or contradicts view 0.
        OCCLUDED: view 1 sees something nearer there.
        VISIBLE: view 1 sees this very point.
    """

    NO_DEPTH = 0
    BEHIND = 1
    OUTSIDE = 2
    UNKNOWN = 3
    OCCLUDED = 4
    VISIBLE = 5


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera in the scene's world.

    Attributes:
        K: (3, 3) float64 in pixels; the top-left pixel's centre is (0.5, 0.5).
        hw: image height and width in pixels.
        cam_from_world: (4, 4) float64, OpenCV axes.

    Raises:
        ValueError: K is not an upper-triangular pinhole matrix with positive finite focal lengths
            and last row 0 0 1, ``hw`` is not positive, or ``cam_from_world`` is not rigid.

    Example:
        >>> camera = Camera([[500, 0, 320], [0, 500, 240], [0, 0, 1]], hw=(480, 640))
        >>> camera.world_from_cam.shape
        (4, 4)
    """

    K: FloatArray
    hw: tuple[int, int]
    cam_from_world: FloatArray = field(default_factory=lambda: np.eye(4))

    def __post_init__(self) -> None:
        # copy: a frozen record must not change when the caller's array does
        object.__setattr__(self, "K", np.array(self.K, np.float64))
        object.__setattr__(self, "cam_from_world", np.array(self.cam_from_world, np.float64))
        object.__setattr__(self, "hw", (int(self.hw[0]), int(self.hw[1])))
        if (defect := intrinsics_defect(self.K)) is not None:
            raise ValueError(f"intrinsics are a {defect}")
        if min(self.hw) < 1:
            raise ValueError(f"image size {self.hw[0]}×{self.hw[1]} (h×w) is not positive")
        if (defect := transforms.rotation_defect(self.cam_from_world)) is not None:
            raise ValueError(f"cam_from_world is a {defect}")
        self.K.flags.writeable = False
        self.cam_from_world.flags.writeable = False

    @property
    def world_from_cam(self) -> FloatArray:
        """(4, 4), the inverse of ``cam_from_world``."""
        return transforms.invert(self.cam_from_world)


# In focal lengths. An image so far from the axis would begin 0.006° from a right angle to it, and
# homographies between two such cameras are singular in float64.
FARTHEST_PRINCIPAL_POINT = 1e4


def intrinsics_defect(K: NDArray[Any]) -> str | None:
    """What keeps a matrix from being a pinhole K, in words, or None."""
    K = np.asarray(K, np.float64)
    if K.shape != (3, 3):
        return f"matrix of shape {K.shape}"
    if not np.isfinite(K).all():
        return "matrix with NaN or infinite entries"
    if np.abs(K).max() > MOST_PIXELS:
        return f"matrix with an entry of {K.flat[np.abs(K).argmax()]:g} pixels"
    if min(K[0, 0], K[1, 1]) < 1 / MOST_PIXELS:
        return f"matrix with focal lengths {K[0, 0]:g}, {K[1, 1]:g}"
    if K[1, 0] != 0 or not np.array_equal(K[2], [0, 0, 1]):
        return "matrix that is not upper triangular with last row 0 0 1"
    if max(abs(K[0, 2]) / K[0, 0], abs(K[1, 2]) / K[1, 1]) > FARTHEST_PRINCIPAL_POINT:
        return f"matrix with its principal point at ({K[0, 2]:g}, {K[1, 2]:g}), beyond any image"
    return None


@dataclass(frozen=True, eq=False)
class DepthMap:
    """z-depth along the optical axis in scene units, with a validity mask.

    Attributes:
        z: (H, W) float32; 0 where invalid.
        valid: (H, W) bool.
    """

    z: NDArray[np.float32]
    valid: NDArray[np.bool_]

    @classmethod
    def from_array(cls, z: NDArray[Any]) -> DepthMap:
        """A depth map in which zero, negative, NaN and infinite values are invalid."""
        values = np.asarray(z, np.float32)
        if values.ndim != 2:
            raise ValueError(f"depth has shape {values.shape}; expected (H, W)")
        valid = np.isfinite(values) & (values > 0)
        return cls(np.where(valid, values, np.float32(0)), valid)

    @property
    def hw(self) -> tuple[int, int]:
        return (int(self.z.shape[0]), int(self.z.shape[1]))


@dataclass(frozen=True, eq=False)
class EstimatedDepth:
    """One frame's depth.

    Attributes:
        depth: has the size that ``DepthScene.camera`` states.
        confidence: (H, W) float32 in [0, 1], 0 where there is no depth; None where the method has
            none.
        facts: how the depth was made, as plain JSON values.
    """

    depth: DepthMap
    confidence: NDArray[np.float32] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class DepthCodec(StrEnum):
    """How a file encodes depth; ``io.depth_files`` holds the reader of each.

    The values are those of the option ``depth_codec`` and of recipes.
    """

    UINT16 = "uint16"
    UINT16_SWAPPED = "uint16_swapped"
    SUN_ROTATED = "sun_rotated"
    NYU_DISPARITY = "nyu_disparity"
    FLOAT16_PNG = "float16_png"
    FLOAT = "float"
    NPY = "npy"
    UINT8 = "uint8"
    PFM = "pfm"
    NPZ = "npz"
    HDF5 = "hdf5"
    MEGADEPTH = "megadepth"
    DTU = "dtu"
    COLMAP = "colmap"

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"unknown depth codec {value!r}; expected one of {', '.join(cls)}")


@dataclass(frozen=True, eq=False)
class DepthRef:
    """Where a frame's depth is stored and how to read it (see ``io.depth_files``).

    Attributes:
        codec: the encoding.
        scale: depth in scene units = decoded value × scale.
        invalid: decoded values that mean "none"; zero, negative, NaN and infinity always do.
        camera_K, hw: intrinsics and size of the depth camera where they differ from the image's.
        color_from_depth: (4, 4) rigid transform between the two cameras where they differ.
        source: what the depth is: ``sensor``, ``exact``, or a method's name.
        along_ray: the values are distances to the camera's centre, not z; needs ``camera_K``.
        stereo: (focal length × baseline, cx1 − cx0) where the values are disparities: depth is
            the first divided by the sum of disparity and the second. Disparity 0 then means
            far, not none.
        mask_path: an image of the depth's size; pixels that are 0 in it have no depth.
        shift_px: offset of the depth map to the right of and below the image, in depth pixels.
        least_confidence: pixels below it, in the array ``confidence`` beside the depth, have no
            depth.

    Raises:
        ValueError: there is no such codec.
    """

    path: Path
    codec: DepthCodec
    scale: float
    camera_K: FloatArray | None = None
    hw: tuple[int, int] | None = None
    color_from_depth: FloatArray | None = None
    source: str = "sensor"
    invalid: tuple[float, ...] = ()
    along_ray: bool = False
    stereo: tuple[float, float] | None = None
    mask_path: Path | None = None
    shift_px: float = 0.0
    least_confidence: float = 0.0

    def __post_init__(self) -> None:
        # sources in other packages may be untyped: a wrong name fails here, not when depth is read
        object.__setattr__(self, "codec", DepthCodec(self.codec))


@dataclass(frozen=True)
class Lens:
    """The camera of a stored image that is not a pinhole image.

    Attributes:
        model: COLMAP's name, e.g. ``OPENCV_FISHEYE`` (``undistortion`` maps every one of them).
        params: in COLMAP's order, in pixels, the top-left pixel's centre at (0.5, 0.5).
        hw: size of the stored image; the pinhole image made from it may have another size.
    """

    model: str
    params: tuple[float, ...]
    hw: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Frame:
    """One posed image of a scene: the paths of its files and its camera, without pixels.

    Attributes:
        frame_id: unique in the scene, in the dataset's own spelling.
        camera: pinhole camera of the image as it leaves the reader (after undistortion).
        distortion: OpenCV coefficients (k1, k2, p1, p2[, k3 …]) of the stored image about
            ``camera.K``, or a lens of any model, or None; the reader undistorts image, depth and
            mask.
        mask_threshold: least share of white (255) in the mask that counts as foreground; None
            means half of the file's own white.
        timestamp: seconds, where the dataset has them; frames are in capture order regardless.
        image_index: the image's place where ``image_path`` holds many images: (frame,) in a
            video, (scene, frame) in a ``.torch`` chunk; counted from 0 (``image_containers``).
        exif_orientation: how to read an image or mask with an EXIF orientation (see
            ``orientation``); ``displayed`` turns it before anything else.
    """

    frame_id: str
    camera: Camera
    image_path: Path
    depth: DepthRef | None = None
    mask_path: Path | None = None
    distortion: tuple[float, ...] | Lens | None = None
    timestamp: float | None = None
    mask_threshold: float | None = None
    image_index: tuple[int, ...] | None = None
    exif_orientation: ExifRule = "refuse"


@dataclass(frozen=True, eq=False)
class SparseMatches:
    """Pixels of view 0 and of view 1 that show the same point, row by row.

    Attributes:
        xy0, xy1: (N, 2) float64 pixels.
    """

    xy0: FloatArray
    xy1: FloatArray


class MatchTable(Protocol):
    """A scene's matches from tracks or a table, not depth (see ``geometry.sparse_matches``)."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that hold the matches; a build starts again when they change."""

    def between(self, frame_id0: str, frame_id1: str) -> SparseMatches:
        """Matches of two frames, in pixels of the images as stored, before undistortion."""


@dataclass(frozen=True)
class Unused:
    """Files in a scene's folder that no frame uses; they are counted, but are not failures.

    Attributes:
        what: the kind of file and why it is not used, in the plural: ``pictures that the model
            does not register``.
        count: how many there are.
        examples: the first few names, relative to the scene's folder.
    """

    what: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Scene:
    """Posed frames that share one world, in capture order.

    Attributes:
        failures: what listing rejected; frames found = ``frames`` + frame-level failures.
        matches: matches that replace depth where no frame has depth.
        notes: sentences on what the source changed or ignored in the data, each stated once per
            scene, such as poses that were normalised or keys that are not read.
        unused: files that belong to no frame.
    """

    dataset: str
    scene_id: str
    frames: tuple[Frame, ...]
    unit: Unit
    failures: tuple[Failure, ...] = ()
    matches: MatchTable | None = None
    notes: tuple[str, ...] = ()
    unused: tuple[Unused, ...] = ()


@dataclass(frozen=True)
class EncodedImage:
    """An image file's bytes and its extension (``jpg``, ``png`` or ``webp``)."""

    ext: str
    data: bytes


@dataclass(frozen=True, eq=False)
class View:
    """A frame with its pixels in memory; image, depth and mask share ``camera.hw``.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        encoded: the file's own bytes where the pixels are exactly the file's; else None.
        mask: (H, W) bool, True on the foreground, or None.
        depth_source: what the depth is, e.g. ``sensor``, ``exact``, a method's name; ``none`` where
            no depth was read.
    """

    frame_id: str
    camera: Camera
    image: NDArray[np.uint8]
    depth: DepthMap
    mask: NDArray[np.bool_] | None = None
    encoded: EncodedImage | None = None
    depth_source: str = "sensor"


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Where the queries of view 0 are in view 1.

    Attributes:
        xy1: (h, w, 2) float32 pixels of view 1; finite exactly where the point lands inside it,
            hidden or not (UNKNOWN, OCCLUDED, VISIBLE), else NaN.
        verdict: (h, w) uint8, a ``Verdict``.
        confidence: (h, w) float32 in [0, 1], the confidence that an OCCLUDED or VISIBLE verdict
            is right; low where the pixels around the landing place see different surfaces; 0
            for other verdicts.
        stride: the query grid's step in pixels of view 0; cell (r, c) is queried at its centre
            ((c + 0.5)·stride, (r + 0.5)·stride); h = H0 // stride, w = W0 // stride.
    """

    xy1: NDArray[np.float32]
    verdict: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    stride: int

    def share(self, verdict: Verdict) -> float:
        """Share of all queries that got this verdict; the shares of all verdicts sum to one."""
        return float(np.mean(self.verdict == verdict)) if self.verdict.size else 0.0


@dataclass(frozen=True, eq=False)
class PairMaps:
    """Correspondences of all ordered pairs of a group at one stride; index [a, b] is a → b.

    Attributes:
        xy: (V, V, h, w, 2) float32 pixels of view b, NaN as in ``Correspondence``; the diagonal
            is NaN.
        verdict: (V, V, h, w) uint8; NO_DEPTH on the diagonal.
        confidence: (V, V, h, w) float32; 0 on the diagonal.
    """

    stride: int
    xy: NDArray[np.float32]
    verdict: NDArray[np.uint8]
    confidence: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Sample:
    """A group of V views of one scene with the correspondences between them: one shard sample.

    Attributes:
        key: unique in the build; no dot.
        images: V decoded (H, W, 3) uint8 RGB images.
        encoded: V image files to store unchanged; empty in a sample that was read without them.
        depths: V depth maps, exactly as stored (after 16-bit quantisation).
        masks: V masks or None each.
        correspondence: stride -> maps, at the strides that the build stores.
        rotation_deg, overlap: (V, V) float64; overlap[a, b] is the share of VISIBLE among all
            queries of a → b at ``overlap_stride``, 1 on the diagonal.
        restricted_to_mask: whether the masks restrict the correspondences' queries and targets.
        matches: sparse matches by pair a < b of views, where the build stores them; else None.
            Where no view has depth, ``overlap`` is the share of queries whose cell holds a match.
        extra: further JSON values, e.g. grouping strategy; the same keys in all samples.
    """

    key: str
    dataset: str
    scene_id: str
    frame_ids: tuple[str, ...]
    unit: Unit
    cameras: tuple[Camera, ...]
    images: tuple[NDArray[np.uint8], ...]
    encoded: tuple[EncodedImage, ...]
    depths: tuple[DepthMap, ...]
    masks: tuple[NDArray[np.bool_] | None, ...]
    correspondence: Mapping[int, PairMaps]
    rotation_deg: FloatArray
    overlap: FloatArray
    depth_source: str
    overlap_stride: int = 16
    restricted_to_mask: bool = False
    matches: Mapping[tuple[int, int], SparseMatches] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sparse(self) -> bool:
        """Whether matches replace depth, so that no view has depth."""
        return self.matches is not None and not any(depth.valid.any() for depth in self.depths)
