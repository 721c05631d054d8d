"""``cameo-data inspect``: what is in a dataset's folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from cameo_data.cli import common
from cameo_data.cli.common import ExitCode, Progress
from cameo_data.errors import DataError, Failure
from cameo_data.frames import read_view
from cameo_data.sources import Source, open_source
from cameo_data.types import Frame, Scene

EPILOG = """
\b
Examples:
  cameo-data inspect auto recordings
  cameo-data inspect rgbd recordings -o depth_scale=0.001 --read-all
"""

MAX_FAILURE_LINES = 20


@dataclass
class _SceneReport:
    """What was found of one scene.

    Attributes:
        frames, unlisted: frames offered for reading, and those that listing rejected.
        valid_share, depth: mean over, and range of, the frames that were read.
    """

    scene_id: str
    frames: int = 0
    unlisted: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    unit: str = ""
    read: int = 0
    valid_share: float | None = None
    depth: tuple[float, float] | None = None
    failures: list[Failure] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        return {
            "scene_id": self.scene_id,
            "frames_found": self.found,
            "frames_listed": self.frames,
            "sizes": [{"hw": hw, "frames": n} for hw, n in sorted(self.sizes.items())],
            "unit": self.unit,
            "frames_read": self.read,
            "valid_depth_share": self.valid_share,
            "depth_range": self.depth,
            "failures": [failure.record() for failure in self.failures],
        }

    @property
    def found(self) -> int:
        return self.frames + self.unlisted


@click.command("inspect", epilog=EPILOG)
@click.argument("source")
@click.argument("root", type=click.Path(path_type=Path))
@common.source_options
@click.option("--read-all", is_flag=True, help="Read every frame, not only one per scene.")
@common.json_option
def command(
    source: str, root: Path, options: dict[str, Any], read_all: bool, as_json: bool
) -> None:
    """What is in the folder ROOT of format SOURCE (or `auto`); nothing is written.

    Lists scenes, frames, sizes and everything that cannot be used, and reads one frame per scene to
    see its depth. Ends with exit code 3 where something cannot be used.
    """
    name = common.resolve_source(source, root)
    opened = open_source(name, root, options)
    with common.progress(quiet=as_json) as progress:
        reports = _inspect(opened, read_all, progress)
    failures = [*opened.failures, *(failure for r in reports for failure in r.failures)]
    if as_json:
        common.echo_json(
            {
                "source": name,
                "dataset": opened.dataset,
                "root": str(root),
                "scenes": [report.record() for report in reports],
                "failures": len(failures),
            }
        )
    else:
        click.echo(_text(name, opened.dataset, reports, failures))
    if failures:
        raise click.exceptions.Exit(ExitCode.DONE_WITH_FAILURES)


def _inspect(source: Source, read_all: bool, progress: Progress) -> list[_SceneReport]:
    reports = []
    scene_ids = source.scene_ids()
    for number, scene_id in enumerate(scene_ids):
        report = _SceneReport(scene_id)
        try:
            scene = source.scene(scene_id)
        except DataError as error:
            report.failures.append(error.failure)
        else:
            _list_frames(report, scene)
            middle = len(scene.frames) // 2
            _read(report, scene, scene.frames if read_all else scene.frames[middle : middle + 1])
        reports.append(report)
        progress("scenes", number + 1, len(scene_ids))
    return reports


def _list_frames(report: _SceneReport, scene: Scene) -> None:
    report.frames = len(scene.frames)
    report.unlisted = sum(failure.frame_id is not None for failure in scene.failures)
    report.sizes = Counter(frame.camera.hw for frame in scene.frames)
    report.unit = scene.unit
    report.failures.extend(scene.failures)


def _read(report: _SceneReport, scene: Scene, frames: tuple[Frame, ...]) -> None:
    shares, nearest, farthest = [], [], []
    for frame in frames:
        try:
            view = read_view(frame, dataset=scene.dataset, scene_id=scene.scene_id)
        except DataError as error:
            report.failures.append(error.failure)
            continue
        z = view.depth.z[view.depth.valid]
        shares.append(float(view.depth.valid.mean()))
        nearest.append(float(z.min()))
        farthest.append(float(z.max()))
    report.read = len(shares)
    if shares:
        report.valid_share = round(float(np.mean(shares)), 4)
        report.depth = (min(nearest), max(farthest))


def _text(name: str, dataset: str, reports: list[_SceneReport], failures: list[Failure]) -> str:
    frames = sum(report.found for report in reports)
    lines = [
        f"{dataset} (format {name}): {common.plural(len(reports), 'scene')}, {frames} frames",
        "",
    ]
    header = ("scene", "frames", "size (w×h)", "depth known", "depth range", "failed")
    lines.append(common.table([header, *(_row(report) for report in reports)]))
    if failures:
        lines += ["", f"{len(failures)} cannot be used:"]
        lines += [f"  {failure.message}" for failure in failures[:MAX_FAILURE_LINES]]
        if len(failures) > MAX_FAILURE_LINES:
            lines.append(f"  … and {len(failures) - MAX_FAILURE_LINES} more (--json lists all)")
    return "\n".join(lines)


def _row(report: _SceneReport) -> tuple[str, ...]:
    sizes = [f"{hw[1]}×{hw[0]}" for hw, _ in report.sizes.most_common(2)]
    more = " …" if len(report.sizes) > 2 else ""
    unit = {"metre": " m"}.get(report.unit, "")
    depth = "–" if report.depth is None else f"{report.depth[0]:.3g}–{report.depth[1]:.3g}{unit}"
    share = "–" if report.valid_share is None else f"{100 * report.valid_share:.0f} %"
    failed = str(len(report.failures))
    return report.scene_id, str(report.found), ", ".join(sizes) + more, share, depth, failed
