"""Precision on real recordings and on rendered rooms and orbits, as ``docs/precision.md`` has it.

    make demo
    python -m benchmarks.precision_real demo/training

Builds 256-pixel shards of the captures beside the repository and of rendered scenes, runs
``cameo-train precision`` on each as anyone would, and prints the tables. What is there already, in
OUT, is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from benchmarks.__main__ import table
from benchmarks.real import REALDATA, SETS
from cameo_data.cli import main as cameo_data
from cameo_train.cli import main as cameo_train

SIZE, STRIDE = 256, 8
FEATURES = "aliked,disk,sift,chance,oracle"
RENDERED = {"rooms": ("room", "video"), "orbits": ("objects", "orbit")}
SCENES, FRAMES = 6, 24


def call(program: Any, *arguments: str) -> None:
    """Runs a command in this process; failures within the allowance are none."""
    name = "cameo-data" if program is cameo_data else "cameo-train"
    click.echo(f"  {name} {' '.join(arguments)}", err=True)
    done = CliRunner().invoke(program, list(arguments), catch_exceptions=False)
    if done.exit_code not in (0, 3):
        raise click.ClickException(done.output.strip().splitlines()[-1])


def builds(out: Path) -> Iterator[tuple[str, Path]]:
    """Names and shards of all sets, made where they are missing."""
    grouping = ["--size", str(SIZE), "--stride", str(STRIDE), "--min-overlap", "0.05"]
    for name, options in SETS.items():
        if (REALDATA / name).is_dir():
            given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
            shards = out / f"{name}-shards"
            if not (shards / "index.json").exists():
                source = ["build-corr", "rgbd", str(REALDATA / name), "--out", str(shards)]
                call(cameo_data, *source, *grouping, *given)
            yield name, shards
    for name, (kind, path) in RENDERED.items():
        scenes, shards = out / f"{name}-scenes", out / f"{name}-shards"
        if not (shards / "index.json").exists():
            counts = ["--scenes", str(SCENES), "--frames", str(FRAMES), "--size", str(SIZE)]
            call(cameo_data, "synth", str(scenes), "--kind", kind, "--path", path, *counts)
            source = ["build-corr", "synthetic", str(scenes), "--out", str(shards)]
            call(cameo_data, *source, *grouping)
        yield name, shards


def rows(results: dict[str, Any]) -> Iterator[list[str]]:
    """A line for each matcher: headline precision and interval by bin, median error."""
    headline = results["protocol"]["thresholds"][0]
    for row in results["rows"]:
        cells = []
        for one in row["bins"]:
            value, low, high = one["precision"][headline]
            text = "–" if value is None else f"{100 * value:.1f}"
            span = "" if low is None else f"{100 * low:.1f}–{100 * high:.1f}"
            certain = low is None or round(high - low, 3) == 0  # an interval that says nothing
            cells.append(text if certain else f"{text} ({span})")
        median = row["bins"][-1]["median_px"][0]
        yield [row["label"], *cells, "–" if median is None else f"{median:.1f}"]
    bins = results["rows"][0]["bins"]
    yield ["*queries*", *(f"{one['queries']:,}" for one in bins), ""]
    yield ["*pairs, scenes*", *(f"{one['pairs']}, {one['scenes']}" for one in bins), ""]


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--out", default="precision-real", type=click.Path(path_type=Path), show_default=True)
def main(run: Path, out: Path) -> None:
    """Tables of all sets, with the attention of RUN, an output of `cameo-train fit`."""
    stated = ""
    for name, shards in builds(out):
        target = out / name
        call(cameo_train, "precision", "--shards", str(shards), "--out", str(target),
             "--features", f"{FEATURES},attention:{run}", "--pictures", "0")  # fmt: skip
        results = json.loads((target / "results.json").read_text("utf-8"))
        click.echo(f"### {name}\n")
        bins = [one["bin"] for one in results["rows"][0]["bins"]]
        click.echo(table(["", *bins, "median error, px"], list(rows(results))))
        for one in results["missing"]:
            click.echo(f"Not measured: {one['features']}: {one['message']}\n")
        stated = "; ".join(f"{key}: {value}" for key, value in results["statement"].items())
    click.echo(stated)


if __name__ == "__main__":
    main()
