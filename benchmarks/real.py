"""Verdicts and colours on real captures: ``build-corr rgbd`` as anyone would run it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from cameo_data.cli import main
from cameo_data.report import agreement
from cameo_data.shards.reader import ShardReader

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"

# options that the set's README states
SLAMBOOK = {
    "color": "color/*.png",
    "depth": "depth/*.pgm",
    "poses": "pose.txt",
    "pose_columns": "tx ty tz qx qy qz qw",
    "intrinsics": "518,519,325.5,253.5",
}
SETS: dict[str, dict[str, str]] = {
    "7scenes_redkitchen": {},
    "hololens": {},
    "nyu_slambook": SLAMBOOK,
}


@dataclass(frozen=True)
class Real:
    """The report of a build of one set."""

    name: str
    frames: str
    agreement: agreement.Agreement


def measure(root: Path = REALDATA) -> list[Real]:
    """All sets that are there."""
    return [_one(root / name, options) for name, options in SETS.items() if (root / name).is_dir()]


def _one(folder: Path, options: dict[str, str]) -> Real:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "build"
        arguments = ["build-corr", "rgbd", str(folder), "--out", str(out)]
        for key, value in options.items():
            arguments += ["-o", f"{key}={value}"]
        result = CliRunner().invoke(main, arguments)
        if result.exit_code not in (0, 3):
            raise RuntimeError(f"{' '.join(arguments)}: {result.output}")
        reader = ShardReader(out)
        counts = reader.index.counts["frames"]
        frames = f"{counts['found']} = {counts['used']} + {counts['left_out']} + {counts['failed']}"
        pairs = (found for sample in reader for _, _, found in agreement.of_sample(sample))
        return Real(folder.name, frames, sum(pairs, agreement.Agreement()))
