"""Depth methods against exact truth, stereo with ground truth, and real sensors:
``python -m benchmarks depth``."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.real import REALDATA, SETS
from cameo_data import camera as cameras
from cameo_data.correspondence import correspond
from cameo_data.depth import method_spec
from cameo_data.depth.method import DepthScene
from cameo_data.errors import DataError
from cameo_data.geometry import raycast
from cameo_data.io.files import FileDefect
from cameo_data.sources import open_source
from cameo_data.synth import generate
from cameo_data.types import (
    Camera,
    DepthCodec,
    DepthMap,
    DepthRef,
    EstimatedDepth,
    Frame,
    Scene,
    Verdict,
)

Floats = NDArray[np.float64]

HW = (384, 512)
VIEWS = 9
# (kind, path, widest rotation in degrees, seed) of the exact scenes
SCENES = (
    ("room", "orbit", 60.0, 0),
    ("objects", "orbit", 60.0, 0),
    ("room", "video", 45.0, 3),
)
# A pixel is textured where the 7×7 pixels around it differ by more than this, in grey levels.
TEXTURE = 3.0
SAMPLES = 4
BAD_PX = 2.0


def estimated(method: str, scene: DepthScene, **options: Any) -> list[EstimatedDepth | None]:
    """Depth of all frames by the method's steps, in this process."""
    spec = method_spec(method)
    resolved = spec.options.model_validate(options)
    prepared = {} if spec.prepare is None else spec.prepare(scene, resolved)
    raw: list[EstimatedDepth | None] = []
    for number in range(len(scene)):
        try:
            raw.append(spec.estimate(scene, number, resolved, prepared))
        except (FileDefect, DataError):
            raw.append(None)
    if spec.check is None:
        return raw
    return [
        None if found is None else spec.check(scene, n, resolved, prepared, raw.__getitem__)
        for n, found in enumerate(raw)
    ]


@dataclass(frozen=True)
class Exact:
    """Figures of a scene with exact depth; shares.

    Attributes:
        good: of textured pixels that at least two other views see, with depth within 1 % of truth.
        known: of these, with any depth.
        wrong: of all pixels that were kept, more than 5 % off.
        seconds: per view, preparation included; of that many ``box_seconds``.
    """

    name: str
    good: float
    known: float
    wrong: float
    seconds: float
    ratio: float


def box_seconds() -> float:
    """Processor seconds of 100 box filters of 5×5 by OpenCV on a float32 image of 640×480: what
    times are compared with, since machines differ."""
    image = np.random.default_rng(0).random((480, 640), np.float32)
    cv2.setNumThreads(1)
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        for _ in range(100):
            cv2.boxFilter(image, -1, (5, 5))
        best = min(best, time.process_time() - start)
    return best


def exact_scenes(folder: Path) -> Iterator[tuple[str, DepthScene, list[Any]]]:
    """The scenes on disk, with the solids that they are made of."""
    for kind, path, rotation, seed in SCENES:
        settings = generate.plan(
            1, kind=kind, path=path, seed=seed, frames=VIEWS, hw=HW,
            rotation_range_deg=rotation, samples=SAMPLES,
        )  # fmt: skip
        root = folder / f"{kind}-{path}"
        generate.write_scenes(root, settings, workers=1)
        source = open_source("synthetic", root)
        stage, _ = generate.make_scene(settings[0])
        scene = DepthScene(source.scene(source.scene_ids()[0]))
        yield f"{kind}, {path}", scene, list(stage.primitives)


def exact_figures(folder: Path) -> Iterator[Exact]:
    """``planesweep`` on the exact scenes, and its depth fused."""
    unit = box_seconds()
    for name, scene, primitives in exact_scenes(folder):
        masks = [
            _textured(scene.image(n)) & (_seen_by(primitives, scene, n) >= 2)
            for n in range(len(scene))
        ]
        start = time.process_time()
        found = estimated("planesweep", scene)
        seconds = (time.process_time() - start) / len(scene)
        yield _exact(name, scene, masks, found, seconds, unit)
        start = time.process_time()
        fused = fused_estimates(scene, found, folder / f"{name} planesweep")
        seconds += (time.process_time() - start) / len(scene)
        yield _exact(f"{name}, then fuse", scene, masks, fused, seconds, unit)


def fused_estimates(
    scene: DepthScene, found: Sequence[EstimatedDepth | None], folder: Path
) -> list[EstimatedDepth | None]:
    """``fuse`` of depth that another method made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for n, one in enumerate(found):
        z = np.zeros(scene.camera(n).hw, np.float32) if one is None else one.depth.z
        paths.append(folder / f"{n}.npy")
        np.save(paths[-1], z)
    return estimated("fuse", _with_depth(scene, paths))


def _exact(
    name: str,
    scene: DepthScene,
    masks: Sequence[NDArray[np.bool_]],
    found: Sequence[EstimatedDepth | None],
    seconds: float,
    unit: float,
) -> Exact:
    good = known = asked = wrong = kept = 0
    for n, (one, mask) in enumerate(zip(found, masks, strict=True)):
        z = scene.given_depth(n).z
        valid = np.zeros_like(mask) if one is None else one.depth.valid
        off = np.full(z.shape, np.inf)
        if one is not None:
            off[z > 0] = np.abs(one.depth.z - z)[z > 0] / z[z > 0]
        asked += int(mask.sum())
        known += int((mask & valid).sum())
        good += int((mask & valid & (off <= 0.01)).sum())
        kept += int(valid.sum())
        wrong += int((valid & (off > 0.05)).sum())
    return Exact(name, good / asked, known / asked, wrong / kept, seconds, seconds / unit)


def _textured(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (7, 7))
    return np.asarray(cv2.blur(grey * grey, (7, 7)) - mean * mean > TEXTURE**2, np.bool_)


def _seen_by(primitives: Sequence[raycast.Primitive], scene: DepthScene, n: int) -> Any:
    """(H, W) other views that see each pixel's point, by exact rays."""
    total = np.zeros(scene.camera(n).hw, np.int64)
    for m in range(len(scene)):
        if m != n:
            found = raycast.oracle(primitives, scene.camera(n), scene.camera(m))
            total += found.verdict == Verdict.VISIBLE
    return total


def view_memory_mb(root: Path) -> float:
    """What one view takes above the loaded program, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_view_memory, root).result()


def _view_memory(root: Path) -> float:
    def peak() -> float:
        # not getrusage's: a new process begins with its parent's peak there
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    source = open_source("synthetic", root)
    scene = DepthScene(source.scene(source.scene_ids()[0]))
    spec = method_spec("planesweep")
    options = spec.options.model_validate({})
    assert spec.prepare is not None
    prepared = spec.prepare(scene, options)
    import_module("torch").ones(1)
    before = peak()
    spec.estimate(scene, len(scene) // 2, options, prepared)
    return peak() - before


@dataclass(frozen=True)
class Stereo:
    """A method on a stereo pair; shares of the left view's pixels.

    Attributes:
        kept: of pixels with known truth, with a disparity.
        bad: of these, more than 2 px off.
    """

    pair: str
    method: str
    kept: float
    bad: float


def stereo(root: Path = REALDATA) -> Iterator[Stereo]:
    """``planesweep`` and OpenCV's semi-global block matching on the Middlebury pairs."""
    for name in ("middlebury_cones", "middlebury_motorcycle"):
        source = open_source("middlebury", root / name)
        scene = DepthScene(source.scene(source.scene_ids()[0]))
        left, right = scene.camera(0), scene.camera(1)
        truth = scene.given_depth(0)
        scale = float(left.K[0, 0] * abs((right.cam_from_world @ left.world_from_cam)[0, 3]))
        shift = float(right.K[0, 2] - left.K[0, 2])
        bare = _without_depth(scene)
        found = estimated("planesweep", bare, side=1024)[0]
        kept = np.zeros(left.hw, np.bool_) if found is None else found.depth.valid
        z = np.ones(left.hw) if found is None else np.where(kept, found.depth.z, 1.0)
        yield _judge(name, "planesweep", truth, scale, kept, scale / z)
        disparity = _sgbm(scene.image(0), scene.image(1))
        yield _judge(name, "StereoSGBM", truth, scale, disparity > 0, disparity + shift)


def _judge(
    pair: str,
    method: str,
    truth: DepthMap,
    scale: float,
    kept: NDArray[np.bool_],
    parallax: NDArray[Any],
) -> Stereo:
    """``parallax`` in pixels is f·B / z."""
    true = np.where(truth.valid, scale / np.where(truth.valid, truth.z, 1), 0)
    judged = truth.valid & kept
    bad = np.abs(parallax - true)[judged] > BAD_PX
    return Stereo(pair, method, float(judged.sum() / truth.valid.sum()), float(bad.mean()))


def _sgbm(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Disparity, 0 where there is none: OpenCV's own sample settings, checked left to right."""
    block = 5
    matcher = cv2.StereoSGBM.create(
        minDisparity=0, numDisparities=64 if left.shape[1] < 600 else 80, blockSize=block,
        P1=8 * 3 * block**2, P2=32 * 3 * block**2, disp12MaxDiff=1, preFilterCap=63,
        uniquenessRatio=10, speckleWindowSize=100, speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_HH,
    )  # fmt: skip
    found = matcher.compute(left[..., ::-1], right[..., ::-1]).astype(np.float32) / 16
    return np.where(found > 0, found, np.float32(0))


def _without_depth(scene: DepthScene) -> DepthScene:
    """The same frames without depth."""
    frames = tuple(replace(frame, depth=None) for frame in scene.scene.frames)
    return DepthScene(replace(scene.scene, frames=frames), 1024)


@dataclass(frozen=True)
class Agreement:
    """Correspondences by estimated depth against those by the sensor's.

    Attributes:
        median_px: distance of landing places where both are VISIBLE.
        covered: share of the sensor's VISIBLE queries that are VISIBLE by estimated depth.
    """

    median_px: float
    covered: float


def hololens(root: Path = REALDATA, stride: int = 8) -> Iterator[tuple[str, Agreement]]:
    """``planesweep`` on real frames with registered sensor depth, without and with planes on blank
    surfaces, and its depth fused."""
    source = open_source("rgbd", root / "hololens")
    scene = DepthScene(source.scene(source.scene_ids()[0]), 640)
    bare = estimated("planesweep", scene, planes=False)
    yield "planesweep without planes", _agreement(scene, bare, stride)
    found = estimated("planesweep", scene)
    yield "planesweep", _agreement(scene, found, stride)
    with tempfile.TemporaryDirectory() as folder:
        fused = fused_estimates(scene, found, Path(folder))
        yield "planesweep, then fuse", _agreement(scene, fused, stride)


def _agreement(scene: DepthScene, found: Sequence[EstimatedDepth | None], stride: int) -> Agreement:
    """All ordered pairs."""
    off: list[Floats] = []
    asked = both = 0
    for a in range(len(scene)):
        for b in range(len(scene)):
            one, two = found[a], found[b]
            if a == b:
                continue
            camera0, camera1 = scene.camera(a), scene.camera(b)
            by_sensor = correspond(
                scene.given_depth(a).z, camera0, scene.given_depth(b).z, camera1, stride=stride
            )
            visible = by_sensor.verdict == Verdict.VISIBLE
            asked += int(visible.sum())
            if one is None or two is None:
                continue
            ours = correspond(one.depth.z, camera0, two.depth.z, camera1, stride=stride)
            shared = visible & (ours.verdict == Verdict.VISIBLE)
            both += int(shared.sum())
            off.append(
                np.linalg.norm(ours.xy1[shared].astype(float) - by_sensor.xy1[shared], axis=1)
            )
    return Agreement(float(np.median(np.concatenate(off))), both / asked)


@dataclass(frozen=True)
class Fused:
    """Depth before and after ``fuse``.

    Attributes:
        disagree: shares of landing points whose depth differs from the other view's by over 1 %.
        known: shares of pixels with depth.
        off: median relative distance from exact depth, in noise; None on real sets.
        own: share of the pixels that had depth and kept one.
    """

    name: str
    disagree: tuple[float, float]
    known: tuple[float, float]
    own: float
    off: tuple[float, float] | None = None
    off_mean: tuple[float, float] | None = None


def fuse_real(root: Path = REALDATA) -> Iterator[Fused]:
    """``fuse`` on the real RGB-D sets."""
    for name, options in SETS.items():
        if not (root / name).is_dir():
            continue
        source = open_source("rgbd", root / name, options)
        scene = DepthScene(source.scene(source.scene_ids()[0]))
        yield _fused(name, scene)


def fuse_noisy(folder: Path) -> Iterator[Fused]:
    """``fuse`` on exact depth made noisy as sensors are: error that grows with z², alike over
    8×8 pixels, and 15 % of the blocks missing."""
    for name, scene, _ in exact_scenes(folder):
        rng = np.random.default_rng(0)
        truth = [scene.given_depth(n) for n in range(len(scene))]
        paths = []
        for depth in truth:
            h, w = depth.hw
            blocks = (-(-h // 8), -(-w // 8))
            noise = np.kron(rng.standard_normal(blocks), np.ones((8, 8)))[:h, :w]
            holes = np.kron(rng.random(blocks) < 0.15, np.ones((8, 8)))[:h, :w] > 0
            z = depth.z + 0.003 * depth.z**2 * noise
            path = folder / f"noisy-{scene.scene.scene_id}-{len(paths)}-{name}.npy"
            np.save(path, np.where(holes | ~depth.valid, 0, z).astype(np.float32))
            paths.append(path)
        yield _fused(name, _with_depth(scene, paths), truth)


def _with_depth(scene: DepthScene, paths: Sequence[Path]) -> DepthScene:
    frames: list[Frame] = [
        replace(frame, depth=DepthRef(path, DepthCodec.NPY, 1.0))
        for frame, path in zip(scene.scene.frames, paths, strict=True)
    ]
    noisy: Scene = replace(scene.scene, frames=tuple(frames))
    return DepthScene(noisy)


def _fused(name: str, scene: DepthScene, truth: Sequence[DepthMap] | None = None) -> Fused:
    before = [scene.given_depth(n) for n in range(len(scene))]
    found = estimated("fuse", scene)
    after = [b if f is None else f.depth for b, f in zip(before, found, strict=True)]
    views = [scene.camera(n) for n in range(len(scene))]
    known = tuple(float(np.mean([d.valid.mean() for d in ds])) for ds in (before, after))
    had = sum(int(b.valid.sum()) for b in before)
    own = sum(int((b.valid & a.valid).sum()) for b, a in zip(before, after, strict=True)) / had
    disagree = (disagreement(before, views), disagreement(after, views))
    off = mean = None
    if truth is not None:
        errors = []
        for depths in (before, after):
            parts = [
                (np.abs(d.z - t.z) / np.where(t.valid, t.z, 1))[d.valid & t.valid & b.valid]
                for d, t, b in zip(depths, truth, before, strict=True)
            ]
            errors.append(np.concatenate(parts))
        off = (float(np.median(errors[0])), float(np.median(errors[1])))
        mean = (float(np.mean(errors[0])), float(np.mean(errors[1])))
    return Fused(name, disagree, (known[0], known[1]), own, off, mean)


def disagreement(depths: Sequence[DepthMap], views: Sequence[Camera]) -> float:
    """Share of points, moved to every other view, whose depth differs from that view's at the
    nearest pixel by more than 1 %, where both are known and neither hides the other (10 %)."""
    over = total = 0
    for a, b in ((a, b) for a in range(len(views)) for b in range(len(views)) if a != b):
        rows = np.flatnonzero(depths[a].valid.ravel())
        xy = cameras.query_xy(views[a].hw).reshape(-1, 2)[rows]
        points = cameras.unproject(views[a], xy, depths[a].z.ravel()[rows])
        there, z = cameras.project(views[b], points)
        h, w = views[b].hw
        with np.errstate(invalid="ignore"):
            inside = ((there >= 0) & (there < (w, h))).all(1)
        column, row = np.floor(there[inside]).astype(np.intp).T
        seen = depths[b].z[row, column]
        known = depths[b].valid[row, column]
        apart = np.abs(z[inside] - seen)[known] / seen[known]
        over += int(((apart > 0.01) & (apart < 0.1)).sum())
        total += int((apart < 0.1).sum())
    return over / total


def rows() -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """(title, headings, rows) of all tables."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        exact = [
            [e.name, percent(e.good), percent(e.known), percent(e.wrong), f"{e.seconds:.1f}",
             f"{e.ratio:.0f}"]
            for e in exact_figures(folder)
        ]  # fmt: skip
        memory = view_memory_mb(folder / "room-orbit")
        yield (
            "planesweep on exact scenes, 9 views of 512×384 "
            f"({memory:.0f} MB per view and process, above the program itself)",
            ["scene", "within 1 % (target ≥ 75)", "with depth",
             "kept and over 5 % off (target ≤ 3)", "s per view", "ratio to 100 box filters"],
            exact,
        )  # fmt: skip
        noisy = [_fuse_row(f) for f in fuse_noisy(folder)]
    if (REALDATA / "middlebury_cones").is_dir():
        pairs = [[s.pair, s.method, percent(s.kept), percent(s.bad)] for s in stereo()]
        yield (
            "Middlebury pairs",
            ["pair", "method", "kept (target ≥ 70)", "bad > 2 px (target ≤ 10)"],
            pairs,
        )
        yield (
            "hololens: correspondences by planesweep against those by the sensor",
            ["depth", "median distance (target ≤ 1.5 px)", "VISIBLE queries covered (target ≥ 50)"],
            [[n, f"{f.median_px:.2f} px", percent(f.covered)] for n, f in hololens()],
        )
        noisy = [_fuse_row(f) for f in fuse_real()] + noisy
    yield (
        "fuse, before → after",
        ["set", "disagree by over 1 %", "pixels with depth", "original pixels kept",
         "median error", "mean error"],
        noisy,
    )  # fmt: skip


def percent(share: float) -> str:
    """Without the sign, one decimal."""
    return f"{100 * share:.1f}"


def _fuse_row(f: Fused) -> list[str]:
    def arrow(pair: tuple[float, float] | None, digits: int = 1) -> str:
        if pair is None:
            return "–"
        return " → ".join(f"{100 * value:.{digits}f} %" for value in pair)

    return [f.name, arrow(f.disagree), arrow(f.known), percent(f.own), arrow(f.off, 2),
            arrow(f.off_mean, 2)]  # fmt: skip
