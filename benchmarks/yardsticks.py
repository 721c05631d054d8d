"""Agreement on the real sets beside the figures that their READMEs state, by the READMEs' protocol.

Every set is read through its own source. Where a README leaves something open:

* *common view* is the share of a's pixels with a depth that land where b knows its own; figures of
  depth, way back and colour are medians over ordered pairs;
* way back and colour are of pixels whose depths agree within 5 %;
* epipolar distances are medians over pairs of the median over features (``protocol.matched``).
  RealEstate10K's 108 pairs are the best-matched of those 2, 4 and 8 frames apart: of the choices
  tried, the one under which the two wrong readings come out as stated.
* 7-Scenes was measured in the depth camera; the reading registered to colour gets the same pairs.

Rows of wrong readings are controls: equal figures there say that the protocol is the README's.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks import protocol
from benchmarks.protocol import Dense, Reading, as_read, inverted
from benchmarks.real import REALDATA, SLAMBOOK
from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.frames import read_view, view_xy
from cameo_data.geometry import undistortion
from cameo_data.io import depth_files
from cameo_data.sources import open_source
from cameo_data.types import Camera, DepthCodec, DepthRef, FloatArray, Lens, Scene, View

TOLERANCES = (0.01, 0.02, 0.05, 0.10)
# 7-Scenes as its own file states it: one camera, the depth camera's
DEPTH_CAMERA = {
    "intrinsics": "camera-intrinsics.txt",
    "depth_intrinsics": "camera-intrinsics.txt",
    "color_from_depth": "0,0,0",
}


@dataclass(frozen=True)
class Row:
    """One figure, or several of a kind.

    Attributes:
        pairs: that it was taken over; 0 where it is not of pairs.
        stated, found: the README's figures, and ours, in the same unit.
        better: which way is better; ``control`` of wrong readings, and of what is neither.
        digits: that the README gives.
    """

    folder: str
    figure: str
    pairs: int
    stated: tuple[float, ...]
    found: tuple[float, ...]
    better: Literal["more", "less", "control"]
    digits: int = 0

    @property
    def met(self) -> bool | None:
        """Whether every figure, to the README's digits, is at least as good; None of a control."""
        if self.better == "control":
            return None
        sign = 1 if self.better == "more" else -1
        ours = [round(value, self.digits) for value in self.found]
        return all(sign * a >= sign * b for a, b in zip(ours, self.stated, strict=True))

    def cells(self) -> list[str]:
        """Of a table."""
        texts = [
            " / ".join(f"{value:.{self.digits + extra}f}" for value in values)
            for values, extra in ((self.stated, 0), (self.found, 1))
        ]
        met = {True: "yes", False: "**no**", None: "control"}[self.met]
        return [self.folder, self.figure, str(self.pairs or "–"), *texts, met]


HEADINGS = ["set", "figure", "pairs", "yardstick", "ours", "at least as good"]
Pairs = dict[tuple[int, int], Dense]


def measure(root: Path = REALDATA) -> Iterator[Row]:
    """All sets that are there, each as it is measured."""
    for name, rows in SETS.items():
        if (root / name).is_dir():
            yield from rows(root / name)


def _scenes(source: str, root: Path, options: Mapping[str, str] | None = None) -> list[Scene]:
    opened = open_source(source, root, options)
    return [opened.scene(scene_id) for scene_id in opened.scene_ids()]


def _views(scene: Scene) -> list[View]:
    return [read_view(f, dataset=scene.dataset, scene_id=scene.scene_id) for f in scene.frames]


def _pairs(views: Sequence[View], reading: Reading = as_read) -> Pairs:
    """All ordered pairs that have anything in common."""
    found = {
        (a, b): protocol.dense(views[a], views[b], reading)
        for a, b in itertools.permutations(range(len(views)), 2)
    }
    return {key: pair for key, pair in found.items() if len(pair.residual)}


def _common(pairs: Pairs, least: float) -> Pairs:
    return {key: pair for key, pair in pairs.items() if pair.common >= least}


def _median(pairs: Pairs, *figures: Callable[[Dense], float]) -> tuple[float, ...]:
    return tuple(float(np.median([figure(p) for p in pairs.values()])) for figure in figures)


def _within(pairs: Pairs, count: int = 4) -> tuple[float, ...]:
    """Shares in per cent of pixels within the first ``count`` of ``TOLERANCES``."""
    figures = [lambda p, t=t: 100 * p.within(t) for t in TOLERANCES[:count]]
    return _median(pairs, *figures)


def _beyond(pair: Dense) -> float:
    return 100 * float(np.mean(pair.residual > TOLERANCES[-1]))


def _through(pair: Dense) -> float:
    return 100 * float(np.mean(pair.residual < -TOLERANCES[-1]))


def _cycle(pair: Dense) -> float:
    return float(np.median(pair.cycle_px[pair.same]))


def _cycle_3px(pair: Dense) -> float:
    return 100 * float(np.mean(pair.cycle_px[pair.same] < 3))


def _colour(pair: Dense) -> float:
    return float(pair.colour[pair.same].mean())


def _in_place(pair: Dense) -> float:
    return float(pair.in_place[pair.same].mean())


def _redkitchen(root: Path) -> Iterator[Row]:
    name = root.name
    views = _views(_scenes("rgbd", root, DEPTH_CAMERA)[0])
    stated = _pairs(views)
    default = _pairs(_views(_scenes("rgbd", root)[0]))
    some, high = _common(stated, 0.15), _common(stated, 0.6)
    for camera, pairs in (("depth camera", stated), ("registered to colour, the default", default)):
        chosen = {key: pairs[key] for key in some}
        overlapping = {key: pairs[key] for key in high}
        yield Row(name, f"within 1 / 2 / 5 / 10 %, {camera}", len(chosen), (58, 84, 96, 97),
                  _within(chosen), "more")  # fmt: skip
        yield Row(name, f"… of pairs with 60 % in common, {camera}", len(overlapping),
                  (85, 95, 96, 97), _within(overlapping), "more")  # fmt: skip
        yield Row(name, f"way back, px, {camera}", len(chosen), (0.67,), _median(chosen, _cycle),
                  "less", 2)  # fmt: skip
        yield Row(name, f"way back under 3 px, %, {camera}", len(chosen), (98,),
                  _median(chosen, _cycle_3px), "more")  # fmt: skip
    yield Row(name, "beyond +10 / −10 %, depth camera", len(some), (2.2, 0.7),
              _median(some, _beyond, _through), "control", 1)  # fmt: skip
    best = {key: default[key] for key in high}
    yield Row(name, "colour with 60 % in common, as stated", len(high), (14.6,),
              _median(high, _colour), "less", 1)  # fmt: skip
    yield Row(name, "… registered, the default", len(best), (9.4,), _median(best, _colour),
              "less", 1)  # fmt: skip
    wrong = _common(_pairs(views, inverted), 0.15)
    yield Row(name, "poses inverted: within 1 / 2 / 5 / 10 %", len(wrong), (2, 4, 11, 22),
              _within(wrong), "control")  # fmt: skip


def _colours(
    name: str, pairs: Pairs, colour: tuple[float, float], ncc: float, digits: int
) -> Iterator[Row]:
    count = len(pairs)
    yield Row(name, "colour matched", count, colour[:1], _median(pairs, _colour), "less", digits)
    yield Row(name, "colour in place", count, colour[1:], _median(pairs, _in_place), "control")
    yield Row(name, "correlation of grey levels", count, (ncc,),
              _median(pairs, protocol.correlation), "more", 2)  # fmt: skip


def _hololens(root: Path) -> Iterator[Row]:
    views = _views(_scenes("rgbd", root)[0])
    pairs = _pairs(views)
    yield Row(root.name, "within 1 / 2 / 5 %", len(pairs), (94, 99, 100), _within(pairs, 3), "more")
    yield Row(root.name, "way back, px", len(pairs), (0.13,), _median(pairs, _cycle), "less", 2)
    yield from _colours(root.name, pairs, (17, 47), 0.96, 0)
    wrong = _pairs(views, inverted)
    yield Row(root.name, "poses inverted: within 1 / 2 / 5 / 10 %", len(wrong),
              (1, 3, 55, 86), _within(wrong), "control")  # fmt: skip


def _slambook(root: Path) -> Iterator[Row]:
    views = _views(_scenes("rgbd", root, SLAMBOOK)[0])
    pairs = _pairs(views)
    stated = (33, 56, 77, 90)
    yield Row(root.name, "within 1 / 2 / 5 / 10 %", len(pairs), stated, _within(pairs), "more")
    near = {(3, 4): pairs[3, 4]}
    yield Row(root.name, "… of frames 4 → 5", 1, (51, 80, 97, 99), _within(near), "more")
    yield Row(root.name, "way back, px", len(pairs), (0.5,), _median(pairs, _cycle), "less", 1)
    yield from _colours(root.name, pairs, (11.8, 39), 0.96, 1)
    wrong = _pairs(views, inverted)
    yield Row(root.name, "poses inverted: within 1 / 2 / 5 / 10 %", len(wrong),
              (1, 2, 4, 10), _within(wrong), "control")  # fmt: skip


def _cars(root: Path) -> Iterator[Row]:
    scene = _scenes("colmap", root)[0]
    views = _views(scene)
    pairs = _pairs(views)
    stated = (76, 85, 91, 94)
    yield Row(root.name, "within 1 / 2 / 5 / 10 %", len(pairs), stated, _within(pairs), "more")
    yield Row(root.name, "beyond +10 %", len(pairs), (4.6,), _median(pairs, _beyond), "control", 1)
    yield from _colours(root.name, pairs, (16, 43), 0.91, 0)
    off = []
    for view, (_, p_world) in zip(views, _observed(root / "dense/sparse", scene), strict=True):
        xy, z = cameras.project(view.camera, p_world)
        column, row = np.floor(xy).astype(np.intp).T.clip(0, [[view.camera.hw[1] - 1],
                                                            [view.camera.hw[0] - 1]])  # fmt: skip
        known = view.depth.valid[row, column]
        off.append(np.abs(view.depth.z[row, column] - z)[known] / z[known])
    share = 100 * float(np.median(np.concatenate(off)))
    yield Row(root.name, "depth and sparse points, %", 0, (0.7,), (share,), "less", 1)
    wrong = _pairs(views, inverted)
    yield Row(root.name, "poses inverted: within 1 / 2 / 5 / 10 %", len(wrong),
              (4, 8, 21, 48), _within(wrong), "control")  # fmt: skip


def _observed(model: Path, scene: Scene) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Per frame: its observations (N, 2) in stored pixels and their (N, 3) points in the world."""
    library = undistortion.colmap().Reconstruction(str(model))
    images = {image.name: image for image in library.images.values()}
    for frame in scene.frames:
        seen = images[frame.frame_id].get_observation_points2D()
        points = [library.points3D[point.point3D_id].xyz for point in seen]
        yield np.array([point.xy for point in seen]), np.array(points)


def _lund(root: Path) -> Iterator[Row]:
    scene = _scenes("colmap", root)[0]
    off: dict[str, list[FloatArray]] = defaultdict(list)
    for frame, (stored, p_world) in zip(
        scene.frames, _observed(root / "sparse", scene), strict=True
    ):
        assert isinstance(frame.distortion, Lens)
        lens = undistortion.colmap_camera(frame.distortion)
        xy = view_xy(frame, stored)
        for key, reading in (("right", as_read), ("wrong", inverted)):
            camera = reading(frame.camera)
            landed, _ = cameras.project(camera, p_world)
            moved = np.linalg.norm(landed - xy, axis=1)
            # back in the stored picture, where the README measured
            there = lens.img_from_cam(transforms.apply(camera.cam_from_world, p_world))
            off[key].append(np.linalg.norm(there - stored, axis=1))
            off[f"{key}, undistorted"].append(moved[np.isfinite(moved)])
    all_of = {key: np.concatenate(found) for key, found in off.items()}
    for key, place in (("right", "as stored"), ("right, undistorted", "undistorted")):
        found = (float(np.median(all_of[key])), float(all_of[key].mean()))
        yield Row(root.name, f"tracks, px: median / mean, {place}", 0, (0.224, 0.36), found,
                  "less" if key == "right" else "control", 3)  # fmt: skip
    wrong = (float(np.nanmedian(all_of["wrong"])),)
    yield Row(root.name, "poses inverted: tracks, px", 0, (291,), wrong, "control")


def _cones(root: Path) -> Iterator[Row]:
    left, right = _views(_scenes("middlebury", root)[0])
    pair = protocol.dense(left, right)
    # the way back is as long as the two views' disparities differ, in steps of 1/4 px
    visible = pair.cycle_px < 1.1
    hidden = ~visible & (pair.residual > 0)
    shares = [100 * float(kind.mean()) for kind in (visible, hidden)]
    colours = [float(pair.colour[kind].mean()) for kind in (visible, hidden)]
    yield Row(root.name, "within 1 px of disparity, %", 1, (94.7,), (shares[0],), "more", 1)
    yield Row(root.name, "occluded, %", 1, (4.9,), (shares[1],), "control", 1)
    yield Row(root.name, "colour where visible", 1, (6.2,), (colours[0],), "less", 1)
    yield Row(root.name, "colour where occluded", 1, (54.3,), (colours[1],), "control", 1)
    in_place = (float(pair.in_place.mean()),)
    yield Row(root.name, "colour in place", 1, (43,), in_place, "control")


def _motorcycle(root: Path) -> Iterator[Row]:
    left, right = _views(_scenes("middlebury", root)[0])
    pair = protocol.dense(left, right, b_depth=False)
    found = (float(pair.colour.mean()), float(np.median(pair.colour)))
    yield Row(root.name, "colour at x − d: mean / median", 1, (7.7, 2.9), found, "less", 1)
    in_place = (float(pair.in_place.mean()),)
    yield Row(root.name, "colour at x", 1, (39.5,), in_place, "control", 1)


def _stretched_bounds(camera: Camera) -> Camera:
    """CO3D's focal lengths taken for ``ndc_norm_image_bounds``."""
    K = camera.K.copy()
    K[[0, 1], [0, 1]] *= np.array(camera.hw[::-1]) / min(camera.hw)
    return replace(camera, K=K)


def _square(camera: Camera) -> Camera:
    """Stretched frames taken for a centre crop: fx for fy too."""
    K = camera.K.copy()
    K[0, 0] = K[1, 1]
    return replace(camera, K=K)


def _opencv_axes(camera: Camera) -> Camera:
    """A pose with OpenGL axes taken for one with OpenCV's."""
    return replace(camera, cam_from_world=transforms.OPENCV_FROM_OPENGL @ camera.cam_from_world)


def _epipolar(
    name: str, pairs: Sequence[protocol.Matched], stated: float, digits: int, figure: str,
    wrong: Mapping[str, tuple[Reading, float, int]],
) -> Iterator[Row]:  # fmt: skip
    def found(reading: Reading) -> tuple[float]:
        return (float(np.median([pair.epipolar_px(reading) for pair in pairs])),)

    yield Row(name, figure, len(pairs), (stated,), found(as_read), "less", digits)
    for mistake, (reading, value, places) in wrong.items():
        yield Row(name, mistake, len(pairs), (value,), found(reading), "control", places)


def _apple(root: Path) -> Iterator[Row]:
    pairs = protocol.matched(_scenes("co3d", root)[0])
    wrong = {
        "read as ndc_norm_image_bounds": (_stretched_bounds, 18.0, 0),
        "poses inverted": (inverted, 162.0, 0),
    }
    yield from _epipolar(root.name, pairs, 0.69, 2, "epipolar, px", wrong)


def _realestate10k(root: Path) -> Iterator[Row]:
    found = [pair for scene in _scenes("realestate10k", root)
             for pair in protocol.matched(scene, gaps=(2, 4, 8))]  # fmt: skip
    found.sort(key=lambda pair: -len(pair.xy_a))
    wrong = {
        "taken for a centre crop": (_square, 0.85, 2),
        "poses inverted": (inverted, 7.6, 1),
    }
    yield from _epipolar(root.name, found[:108], 0.27, 2, "epipolar, px", wrong)


def _fox(root: Path) -> Iterator[Row]:
    pairs = protocol.matched(_scenes("nerfstudio", root)[0])
    wrong = {"OpenCV axes": (_opencv_axes, 203.0, 0), "poses inverted": (inverted, 440.0, 0)}
    yield from _epipolar(root.name, pairs, 1.8, 1, "epipolar, px", wrong)
    near = [pair for pair in pairs if pair.b - pair.a == 1]
    yield from _epipolar(root.name, near, 0.75, 2, "… of neighbours, px", {})


def _encodings(root: Path) -> Iterator[Row]:
    files = {
        "TUM_depth.png": (DepthCodec.UINT16, 1 / 5000, 2.42),
        "SUN_depth.png": (DepthCodec.SUN_ROTATED, 0.001, 2.72),
        "NYU_depth.pgm": (DepthCodec.NYU_DISPARITY, 1.0, 3.27),
    }
    for name, (codec, scale, stated) in files.items():
        depth = depth_files.read_depth(DepthRef(root / name, codec, scale))
        found = float(np.median(depth.z[depth.valid]))
        yield Row(root.name, f"median depth of {name}, m", 0, (stated,), (found,), "control", 2)


SETS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "7scenes_redkitchen": _redkitchen,
    "hololens": _hololens,
    "nyu_slambook": _slambook,
    "colmap_dense_cars": _cars,
    "middlebury_cones": _cones,
    "middlebury_motorcycle": _motorcycle,
    "colmap_lund_door": _lund,
    "co3d_apple": _apple,
    "realestate10k": _realestate10k,
    "instant_ngp_fox": _fox,
    "rgbd_single_encodings": _encodings,
}
