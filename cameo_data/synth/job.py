"""Writes one scene to disk: renders it in a hidden folder that is renamed at the end."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cameo_data.io.os_errors import naming
from cameo_data.synth import exact, record, render
from cameo_data.synth.record import SceneSettings
from cameo_data.synth.stage import PackedStage, Stage
from cameo_data.types import Camera

# Level 3 of 0–9: rendered noise hardly compresses further, and level 9 takes ten times as long.
PNG_LEVEL = 3


@dataclass(frozen=True, eq=False)
class SceneJob:
    """A scene that is being written to its hidden folder."""

    out: Path
    settings: SceneSettings
    stage: Stage
    views: list[Camera]
    futures: list[Future[None]]
    oracle_stride: int | None

    @property
    def partial(self) -> Path:
        """The hidden folder."""
        return self.out / f".{self.settings.scene_id}.partial"

    @classmethod
    def start(
        cls,
        pool: ThreadPoolExecutor,
        out: Path,
        settings: SceneSettings,
        stage: Stage,
        views: list[Camera],
        stride: int | None,
    ) -> SceneJob:
        """Start rendering all frames."""
        job = cls(out, settings, stage, views, [], stride)
        shutil.rmtree(job.partial, ignore_errors=True)
        for folder in ("images", "depth"):
            (job.partial / folder).mkdir(parents=True)
        packed = render.pack(stage)
        for i, view in enumerate(views):
            job.futures.append(pool.submit(_write_frame, job, packed, view, _frame_id(i)))
        return job

    def finish(self) -> None:
        """When all frames are rendered, write the other files and rename the folder."""
        if self.oracle_stride is not None:
            exact.write_oracle(self.partial, self.stage, self.views, self.oracle_stride)
        text = json.dumps(_record(self).model_dump(), indent=1)
        path = self.partial / record.FILE_NAME
        with naming(path):
            path.write_text(text + "\n", "utf-8")
        shutil.rmtree(self.out / self.settings.scene_id, ignore_errors=True)  # a damaged one
        self.partial.rename(self.out / self.settings.scene_id)


def _write_frame(job: SceneJob, packed: PackedStage, view: Camera, frame_id: str) -> None:
    picture = render.render_packed(packed, view, job.settings.samples)
    done, png = cv2.imencode(
        ".png", picture.image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL]
    )
    assert done, "an 8-bit colour image always encodes"
    image_path, depth_path = (
        job.partial / _image_path(frame_id),
        job.partial / _depth_path(frame_id),
    )
    with naming(image_path):
        image_path.write_bytes(png.tobytes())
    with naming(depth_path):
        np.save(depth_path, picture.z, allow_pickle=False)


def _record(job: SceneJob) -> record.SyntheticSceneRecord:
    stage = job.stage
    frames = [
        record.SyntheticFrameRecord(
            frame_id=_frame_id(i),
            image=_image_path(_frame_id(i)),
            depth=_depth_path(_frame_id(i)),
            K=record.matrix(view.K),
            cam_from_world=record.matrix(view.cam_from_world),
        ).model_dump()
        for i, view in enumerate(job.views)
    ]
    return record.SyntheticSceneRecord(
        settings=job.settings,
        sky=record.SkyRecord(**vars(stage.sky)),
        surfaces=tuple(record.SurfaceRecord(**vars(surface)) for surface in stage.surfaces),
        primitives=tuple(
            record.PrimitiveRecord(
                kind=p.kind, world_from_object=record.matrix(p.world_from_object), surface=p.surface
            )
            for p in stage.primitives
        ),
        frames=tuple(frames),
    )


def _frame_id(index: int) -> str:
    return f"{index:04d}"


def _image_path(frame_id: str) -> str:
    return f"images/{frame_id}.png"


def _depth_path(frame_id: str) -> str:
    return f"depth/{frame_id}.npy"
