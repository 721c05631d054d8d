"""What a depth method is: a scene goes in, depth with confidence and provenance comes out.

A method has up to three steps. ``prepare`` sees the whole scene once (which views are neighbours,
a fused surface); ``estimate`` makes one frame's depth; ``check`` compares it with the estimates of
other frames. Frames are independent of one another within a step, so that they can be shared out
to processes and a stopped run goes on where it was.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cameo_data import camera as cameras
from cameo_data.frames import read_view, resize_view
from cameo_data.io import boundary
from cameo_data.io.settings import Settings
from cameo_data.types import Camera, DepthMap, EstimatedDepth, Frame, Scene, View

Arrays = Mapping[str, NDArray[Any]]

# Images kept decoded per scene and process: a frame and its neighbours, twice.
VIEWS_KEPT = 16


class MethodOptions(Settings):
    """Base of every method's options; unknown keys are errors.

    Attributes:
        side: longest side of the depth maps in pixels; smaller images keep their size.
    """

    side: int | None = Field(
        default=None,
        ge=16,
        le=8192,
        description="longest side of the depth maps  [default: the image's]",
    )


class DepthScene:
    """A scene as methods see it: cameras, pictures and given depth at the size of the result.

    Attributes:
        scene: with all its frames; a frame's number is its place there.
    """

    def __init__(self, scene: Scene, side: int | None = None) -> None:
        self.scene = scene
        self._side = side
        self._view = functools.lru_cache(maxsize=VIEWS_KEPT)(self._read)

    def __len__(self) -> int:
        return len(self.scene.frames)

    def frame(self, number: int) -> Frame:
        return self.scene.frames[number]

    def camera(self, number: int) -> Camera:
        """The frame's camera, at the size of the depth map to be made."""
        camera = self.frame(number).camera
        hw = camera.hw if self._side is None else cameras.hw_within(camera.hw, self._side)
        return cameras.resize(camera, hw)

    def image(self, number: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB of ``camera(number).hw``.

        Raises:
            DataError: it cannot be read.
        """
        return self._view(number, False).image

    def given_depth(self, number: int) -> DepthMap:
        """The source's own depth at ``camera(number).hw``.

        Raises:
            DataError: the frame has none, or it cannot be read.
        """
        return self._view(number, True).depth

    def _read(self, number: int, with_depth: bool) -> View:
        frame, dataset, scene_id = self.frame(number), self.scene.dataset, self.scene.scene_id
        with boundary.reading(dataset, scene_id, frame.frame_id):
            view = read_view(frame, dataset=dataset, scene_id=scene_id, with_depth=with_depth)
            return resize_view(view, self.camera(number).hw)


MatchRow = tuple[str, str, NDArray[np.float64], NDArray[np.float64]]
Estimates = Callable[[int], EstimatedDepth | None]  # of a frame's number; None where it failed


@dataclass(frozen=True)
class MethodSpec:
    """A method: what it is, and its steps. ``options`` stands for an instance of its model.

    Steps raise ``FileDefect`` for what is wrong with a scene or frame; it is counted, and the rest
    goes on.

    Attributes:
        needs: what a scene must have, for the list of methods.
        options: the model of ``-m key=value``.
        estimate: (scene, frame number, options, what ``prepare`` made) -> depth.
        prepare: (scene, options) -> arrays that all frames need.
        check: (scene, frame number, options, prepared, estimates) -> depth as it is kept.
        matches: (scene, options, prepared) -> (frame id, frame id, (N, 2) pixels, (N, 2) pixels) of
            pairs of frames, where a method finds sparse matches rather than depth.
        files: (scene, options) -> further files, not the scene's own, that the depth is made from.
    """

    name: str
    summary: str
    needs: str
    options: type[MethodOptions]
    estimate: Callable[[DepthScene, int, Any, Arrays], EstimatedDepth]
    prepare: Callable[[DepthScene, Any], Arrays] | None = None
    check: Callable[[DepthScene, int, Any, Arrays, Estimates], EstimatedDepth] | None = None
    matches: Callable[[DepthScene, Any, Arrays], Iterable[MatchRow]] | None = None
    files: Callable[[Scene, Any], Sequence[Path]] | None = None
