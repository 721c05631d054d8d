"""``cameo-data synth``: procedural scenes with exact answers."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from cameo_data.cli.command import Command
from cameo_data.cli.common import echo_json, json_option, progress
from cameo_data.io import parsing

EXAMPLE = """
\b
Example, then shards of it:
  cameo-data synth scenes --scenes 6 --frames 24 --size 512
  cameo-data build-corr synthetic scenes --out shards
"""


def _parse_size(_ctx: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, int]:
    """(height, width) of ``512`` or ``640x480`` (width by height, as in ``build-corr --size``)."""
    try:
        return parsing.parse_hw(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r}; {error}") from None


@click.command(cls=Command, epilog=EXAMPLE)
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--scenes", default=6, show_default=True, type=click.IntRange(1), help="How many.")
@click.option(
    "--frames",
    default=24,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Frames per scene.",
)
@click.option(
    "--size",
    "hw",
    default="256",
    show_default=True,
    metavar="WxH",
    callback=_parse_size,
    help="Image size: 512 or 640x480 (width x height).",
)
@click.option(
    "--kind",
    default="mixed",
    show_default=True,
    type=click.Choice(["mixed", "objects", "room", "outdoor", "bare-room"]),
    help="A pile of objects, a furnished room, a square between houses; mixed: these in turn. "
    "bare-room: walls, floor and ceiling alone.",
)
@click.option(
    "--path",
    default="mixed",
    show_default=True,
    type=click.Choice(["mixed", "orbit", "video"]),
    help="Once round the scene, or a hand-held walk; mixed: in turn.",
)
@click.option(
    "--rotation-range",
    "rotation_range_deg",
    default=180.0,
    show_default=True,
    type=click.FloatRange(0, 180, min_open=True),
    help="Widest rotation between two views of a scene, in degrees.",
)
@click.option(
    "--texture-scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.1, 10),
    help="Factor on the size of all patterns; about 2 suits images of 64 pixels.",
)
@click.option(
    "--samples",
    default=12,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Rays a pixel; fewer are faster and rougher.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of all choices."
)
@click.option(
    "--oracle",
    "oracle_stride",
    type=click.IntRange(1),
    metavar="STRIDE",
    help="Also write the exact correspondences of all pairs at this stride.",
)
@click.option("--workers", type=click.IntRange(1), help="Threads.  [default: all cores]")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@json_option
def command(
    out: Path,
    scenes: int,
    frames: int,
    hw: tuple[int, int],
    kind: str,
    path: str,
    rotation_range_deg: float,
    texture_scale: float,
    samples: int,
    seed: int,
    oracle_stride: int | None,
    workers: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write procedural scenes with exact depth and poses to OUT.

    Textured solids under fixed light, ray-cast exactly; a source of format `synthetic`. The same
    seed gives the same bytes. Scenes already there are kept, so a stopped run goes on.
    """
    from cameo_data.io.work_folder import refuse_build
    from cameo_data.synth import generate

    refuse_build(out)
    wanted = generate.plan(
        scenes, kind=kind, path=path, seed=seed, frames=frames, hw=hw,
        rotation_range_deg=rotation_range_deg, texture_scale=texture_scale, samples=samples,
    )  # fmt: skip
    if dry_run:
        kept = [s.scene_id for s in wanted if generate.is_written(out, s, oracle_stride)]
        new = [s.scene_id for s in wanted if s.scene_id not in kept]
        _say_plan(out, new, kept, frames, hw, as_json)
        return
    with progress(quiet=as_json) as report_progress:
        report = generate.write_scenes(
            out,
            wanted,
            workers=workers or os.cpu_count() or 1,
            oracle_stride=oracle_stride,
            progress=report_progress,
        )
    if as_json:
        echo_json({"out": str(out), **asdict(report)})
        return
    if report.mended:
        click.echo(f"damaged, so rendered again: {', '.join(report.mended)}")
    rate = report.images / report.seconds
    others = f", {len(report.kept)} kept as they were" if report.kept else ""
    click.echo(
        f"{len(report.written)} scenes with {report.images} images written to {out}{others} "
        f"({report.seconds:.1f} s, {rate:.0f} images/s)"
    )


def _say_plan(
    out: Path, new: list[str], kept: list[str], frames: int, hw: tuple[int, int], as_json: bool
) -> None:
    images = len(new) * frames
    if as_json:
        echo_json({"out": str(out), "dry_run": True, "new": new, "kept": kept, "images": images})
        return
    # a float32 depth map, and about 2 bytes per pixel of picture
    megabytes = images * hw[0] * hw[1] * 6 / 1e6
    click.echo(
        f"would write {len(new)} scenes with {images} images of {hw[0]}×{hw[1]} to {out} "
        f"(about {megabytes:.0f} MB) and keep {len(kept)}: {', '.join(new[:6])}"
        f"{' …' if new[6:] else ''}"
    )
