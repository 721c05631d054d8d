"""Precision of all layers of all runs against rotation: ``cameo_train.precision`` on the held-out
scenes, at a third of the steps and at the end.

Precision is the share of visible points that are found to within one token, with one clean view
and some noise in the others; see docs/precision.md. A layer with a trained mixing head is read
through it. For any other layer, the mean of heads and every head are read, and the best one on
these very points counts, which flatters it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cameo_data.types import Progress
from cameo_train.precision import session
from cameo_train.precision.results import Bin, RowResult
from cameo_train.protocols.measurement import DEFAULT_THRESHOLDS
from cameo_train.reproduce.arm_runs import TrainingRun

BINS_DEG = (0.0, 30.0, 60.0, 90.0, 120.0, 180.0)
# "large viewpoint changes" of the claim
LARGE_DEG = 60.0
GROUPS = 96


@dataclass(frozen=True)
class LayerReading:
    """One layer of one checkpoint.

    Attributes:
        layer: number in execution order.
        supervised: whether it is read through the trained mixing head.
        heads: how its heads are combined.
        precision: precision per rotation bin; None for an empty bin.
        large: precision over all pairs at ``Geometry.large_deg`` or more; None if there are none.
    """

    arm: str
    seed: int
    step: int
    layer: int
    supervised: bool
    heads: str
    precision: tuple[float | None, ...]
    large: float | None


@dataclass(frozen=True)
class Geometry:
    """All readings, and the rotation bins with the limits that hold for every run.

    Attributes:
        bins: labels of the bins.
        ceiling, floor: precision of a perfect matcher of tokens and of blind choice, per bin.
        queries: number of queries per bin.
        facts: how precision was measured, for readers.
        large_deg: least rotation that counts as large: ``LARGE_DEG``, or 0 if the held-out scenes
            have no such pairs.
    """

    bins: tuple[str, ...]
    ceiling: tuple[float | None, ...]
    floor: tuple[float | None, ...]
    queries: tuple[int, ...]
    facts: dict[str, str]
    readings: tuple[LayerReading, ...]
    large_deg: float = LARGE_DEG

    @property
    def last(self) -> int:
        """The last step that was measured."""
        return max(r.step for r in self.readings)

    @property
    def early(self) -> int:
        """The step nearest to a third of all."""
        return min({r.step for r in self.readings}, key=lambda step: abs(step - self.last / 3))

    def best(self, arm: str, seed: int, step: int) -> LayerReading | None:
        """The reading that counts for a run at a step: its supervised layer or, without one, the
        layer that is best at large rotations."""
        here = [
            r for r in self.readings
            if (r.arm, r.seed, r.step) == (arm, seed, step) and r.large is not None
        ]  # fmt: skip
        supervised = [r for r in here if r.supervised]
        return max(supervised or here, key=lambda r: r.large or 0.0, default=None)


def measure(
    jobs: Sequence[TrainingRun], out: Path, stride: int | None, progress: Progress
) -> Geometry:
    """Readings of every run's checkpoints; those in ``out`` are not measured again.

    Args:
        out: folder in which each run gets a folder.
        stride: pixels per token, which is the threshold; None for the defaults of the build.

    Raises:
        DataError: the held-out shards cannot be read.
        ValueError: a checkpoint cannot be read, or has another size.
    """
    threshold = DEFAULT_THRESHOLDS[0] if stride is None else f"{stride}px"
    readings: list[LayerReading] = []
    limits: dict[str, RowResult] = {}
    facts: dict[str, str] = {}
    for number, job in enumerate(jobs):
        progress("precision against rotation", number, len(jobs))
        work = session.prepare(
            Path(job.config.shown_shards), f"attention:{job.out}", out / job.out.name,
            {
                "stride": stride, "thresholds": (threshold,), "bins_deg": BINS_DEG,
                "min_confidence": 0.0, "samples": GROUPS, "batch": 8, "layers": ("all",),
                "heads": ("auto", "best"), "timesteps": (), "checkpoints": "all",
                "references": 1, "seed": 0, "device": None,
            },
        )  # fmt: skip
        rows, failed = session.measure(work, lambda stage, done, total: None)
        if failed:
            raise ValueError(f"{job.out}: {failed[0][1]}")
        limits |= {row.row.kind: row for row in rows if row.row.kind in ("ceiling", "floor")}
        readings += _best_readings(job, [row for row in rows if row.row.kind == "attention"])
        facts = work.protocol.facts()
    progress("precision against rotation", len(jobs), len(jobs))
    ceiling, floor = limits["ceiling"], limits["floor"]
    return Geometry(
        bins=tuple(one.label for one in ceiling.bins[:-1]),
        ceiling=_values(ceiling),
        floor=_values(floor),
        queries=tuple(one.queries for one in ceiling.bins[:-1]),
        facts=facts,
        readings=tuple(readings),
        large_deg=LARGE_DEG if _large_bins(ceiling) else 0.0,
    )


def _best_readings(job: TrainingRun, rows: Sequence[RowResult]) -> list[LayerReading]:
    """A reading for each layer and checkpoint: through the trained head, or else the best one."""
    groups: dict[tuple[int, int], list[LayerReading]] = {}
    for row in rows:
        about = row.row
        reading = LayerReading(
            arm=job.arm.name,
            seed=job.seed,
            step=about.step or 0,
            layer=about.layer_number or 0,
            supervised=about.heads == "trained",
            heads=about.heads or "",
            precision=_values(row),
            large=_large(row),
        )
        groups.setdefault((reading.step, reading.layer), []).append(reading)
    found = []
    for (_, _), ways in sorted(groups.items()):
        trained = [r for r in ways if r.supervised]
        found.append(max(trained or ways, key=lambda r: r.large or 0.0))
    return found


def _values(row: RowResult) -> tuple[float | None, ...]:
    return tuple(one.precision[0].value for one in row.bins[:-1])


def _large_bins(row: RowResult) -> list[Bin]:
    return [one for one in row.bins[BINS_DEG.index(LARGE_DEG) : -1] if one.queries]


def _large(row: RowResult) -> float | None:
    bins = _large_bins(row)
    if not bins:
        return row.all.precision[0].value
    hits = sum((one.precision[0].value or 0.0) * one.queries for one in bins)
    return hits / sum(one.queries for one in bins)
