"""One full-resolution ordered pair, against two published functions, one thread each.

All run in turn in one process, round after round, so that other load on the machine affects them
equally; each figure is the fastest round.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.accuracy import all_cases
from benchmarks.truth import Case
from cameo_data.correspondence import correspond_prepared, prepare

ROUNDS = 40
SIZE = (512, 512)


@dataclass(frozen=True)
class Timing:
    """Fastest of all rounds, in milliseconds."""

    name: str
    ms: float


def measure(pair_name: str = "orbit 20°") -> list[Timing]:
    """Ours on prepared views (as in a group, where each view is prepared once), ours from bare
    arrays, and the others, on the same pair."""
    import torch

    torch.set_num_threads(1)
    case = next(c for c in all_cases(SIZE, 0) if c.pair.name == pair_name)
    view0, view1 = _prepared(case)
    jobs: dict[str, Callable[[], object]] = {
        "cameo_data, views prepared": lambda: correspond_prepared(view0, view1, 1),
        "cameo_data, from arrays": lambda: correspond_prepared(*_prepared(case), 1),
        "romatch.utils.utils.warp_kpts": _romatch(case),
        "kornia.geometry.depth.warp_frame_depth": _kornia(case),
    }
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - start)
    return [Timing(name, 1e3 * seconds) for name, seconds in best.items()]


def by_pair() -> list[Timing]:
    """Ours on prepared views, for every view pair."""
    timings = []
    for case in all_cases(SIZE, 0):
        view0, view1 = _prepared(case)
        best = float("inf")
        for _ in range(ROUNDS):
            start = time.perf_counter()
            correspond_prepared(view0, view1, 1)
            best = min(best, time.perf_counter() - start)
        timings.append(Timing(case.pair.name, 1e3 * best))
    return timings


def _prepared(case: Case):  # type: ignore[no-untyped-def]
    return (
        prepare(case.depth0, case.pair.camera0),
        prepare(case.depth1, case.pair.camera1),
    )


def _romatch(case: Case) -> Callable[[], object]:
    """``warp_kpts`` at every pixel; its module imports torchvision, which it does not need here."""
    import torch

    stand_ins = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    for name in stand_ins:
        sys.modules.setdefault(name, types.ModuleType(name))
    vars(sys.modules["torchvision"])["transforms"] = sys.modules["torchvision.transforms"]
    modes = types.SimpleNamespace(BICUBIC=3)
    vars(sys.modules["torchvision.transforms.functional"])["InterpolationMode"] = modes
    # the file itself: the package's own import pulls its models and their dependencies
    package = importlib.util.find_spec("romatch")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "utils" / "utils.py"
    spec = importlib.util.spec_from_file_location("romatch_utils", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    warp_kpts = module.warp_kpts

    h, w = SIZE
    x = (np.arange(w) + 0.5) / w * 2 - 1
    y = (np.arange(h) + 0.5) / h * 2 - 1
    points = np.stack(np.meshgrid(x, y), -1).reshape(1, -1, 2)
    camera0, camera1 = case.pair.camera0, case.pair.camera1
    cam1_from_cam0 = camera1.cam_from_world @ camera0.world_from_cam
    arrays = (points, case.depth0[None], case.depth1[None], cam1_from_cam0[None, :3],
              camera0.K[None], camera1.K[None])  # fmt: skip
    tensors = [torch.from_numpy(np.asarray(a, np.float32)) for a in arrays]

    def job() -> object:
        with torch.inference_mode():
            return warp_kpts(*tensors)

    return job


def _kornia(case: Case) -> Callable[[], object]:
    """``warp_frame_depth`` of a colour image: no occlusion test, no verdict."""
    import torch
    from kornia.geometry.depth import warp_frame_depth

    cam1_from_cam0 = case.pair.camera1.cam_from_world @ case.pair.camera0.world_from_cam
    image = torch.rand(1, 3, *SIZE)
    depth = torch.from_numpy(case.depth0[None, None])
    pose = torch.from_numpy(cam1_from_cam0[None].astype(np.float32))
    K = torch.from_numpy(case.pair.camera0.K[None].astype(np.float32))

    def job() -> object:
        with torch.inference_mode():
            return warp_frame_depth(image, depth, pose, K)

    return job
