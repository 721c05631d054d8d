"""The scenes with worse depth, to find the cost of matches from sensors or networks.

Images and poses are those of the exact scenes, so a sample has the same views as long as these
still see each other.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data.synth.record import FILE_NAME, read_frame, read_scene

Depth = NDArray[np.float32]
Quality = Literal["sensor", "rough"]
Source = Literal["exact"] | Quality  # kind of depth that gives the matches

# Nguyen, Izadi, Lovell 2012, "Modeling Kinect sensor noise", equation 3: axial noise in metres
_SIGMA_M, _SIGMA_PER_M2, _NEAREST_M = 0.0012, 0.0019, 0.4
_HOLES = 0.1
# Errors of a monocular network: a tenth, constant over an eighth of the image (good networks have
# δ < 1.25 above 90 %).
_ROUGH, _ROUGH_CELLS = 0.1, 8


def sensor(depth: Depth, rng: np.random.Generator) -> Depth:
    """Noise that grows with the square of depth, and a tenth of the pixels lost; metres."""
    sigma = _SIGMA_M + _SIGMA_PER_M2 * np.square(depth - _NEAREST_M)
    noisy = depth + sigma * rng.standard_normal(depth.shape)
    known = (depth > 0) & (rng.random(depth.shape) >= _HOLES)
    return np.where(known, noisy, 0).astype(np.float32)


def rough(depth: Depth, rng: np.random.Generator) -> Depth:
    """Smooth errors of a tenth, different in each view."""
    cells = rng.standard_normal((_ROUGH_CELLS, _ROUGH_CELLS))
    factor = 1 + _ROUGH * cv2.resize(cells, depth.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(depth * np.clip(factor, 0.5, 2.0), np.float32)


QUALITIES: dict[Quality, Callable[[Depth, np.random.Generator], Depth]] = {
    "sensor": sensor,
    "rough": rough,
}


def copy_scenes(exact: Path, out: Path, quality: Quality) -> None:
    """The scenes of a folder with worse depth; existing ones are kept.

    Raises:
        OSError: the files cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(sorted(p.parent for p in exact.glob(f"*/{FILE_NAME}"))):
        target, partial = out / scene.name, out / f".{scene.name}.partial"
        if target.exists():
            continue
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(scene, partial, copy_function=os.link)
        rng = np.random.default_rng([number, list(QUALITIES).index(quality)])
        for values in read_scene(scene).frames:
            path = read_frame(values).depth
            worse = QUALITIES[quality](np.load(scene / path), rng)
            (partial / path).unlink()  # a hard link: the exact file must not change
            np.save(partial / path, worse, allow_pickle=False)
        partial.rename(target)
