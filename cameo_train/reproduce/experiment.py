"""The whole experiment: data, runs, results; resumes where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cameo_data.executors.local import default_workers
from cameo_data.io.work_folder import write_bytes
from cameo_data.types import Progress
from cameo_train.config import load
from cameo_train.models import build
from cameo_train.reproduce import arm_runs as runs
from cameo_train.reproduce import claims, geometry, summary
from cameo_train.reproduce import data as datasets
from cameo_train.reproduce.arm_runs import TrainingRun
from cameo_train.reproduce.arms import Arm, choose
from cameo_train.reproduce.claims import Claim
from cameo_train.reproduce.data import Data
from cameo_train.reproduce.geometry import Geometry
from cameo_train.reproduce.presets import ExperimentPreset
from cameo_train.reproduce.summary import Line, Run
from cameo_train.taps import resolve


@dataclass(frozen=True)
class Experiment:
    """The settings of an experiment.

    Attributes:
        ablations: names of ``arms.ABLATIONS``.
        overrides: keys of ``TrainConfig`` for all arms, which override the preset's.
        data: builds to use instead of the preset's own scenes.
    """

    preset: ExperimentPreset
    out: Path
    seeds: Sequence[int] = (0,)
    ablations: Sequence[str] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    data: Data | None = None

    def settings(self) -> dict[str, Any]:
        """``TrainConfig`` keys that all arms share, as ``TrainConfig`` reads them.

        Raises:
            UsageError: a key or value that the configuration does not know.
        """
        given = self.preset.settings(self.overrides)
        read = load(None, {**given, "shards": "", "out": ""})
        return {key: getattr(read, key) for key in given}

    def arms(self) -> list[Arm]:
        """Baseline, cameo and the ablations' arms, except those that equal the preset.

        Raises:
            UsageError: there is no such ablation or model.
        """
        settings = self.settings()
        layers = self._other_layers(settings) if "layer" in self.ablations else []
        found = choose(
            self.ablations, model=settings["model"], layers=layers, steps=int(settings["steps"])
        )
        return [arm for arm in found if not arm.repeats(settings)]

    def _other_layers(self, settings: Mapping[str, Any]) -> list[int]:
        """Numbers of the layers that the preset does not supervise."""
        model = build(settings["model"])
        layers = model.layers()
        own = resolve(layers, settings.get("layer") or model.preset.layer)
        return [number for number, path in enumerate(layers) if path != own]

    def jobs(self) -> list[TrainingRun]:
        """Every arm with every seed.

        Raises:
            UsageError: as in ``arms``, or a key or value that the configuration does not know.
        """
        data = self.data or Data.below(self.out / "data")
        return runs.jobs(
            self.preset, self.arms(), self.seeds, data, self.out / "runs", self.overrides
        )


@dataclass(frozen=True, eq=False)
class Results:
    """Finished runs and what they show."""

    experiment: Experiment
    jobs: Sequence[TrainingRun]
    runs: Sequence[Run]
    lines: Sequence[Line]
    geometry: Geometry
    claims: Sequence[Claim]

    def record(self) -> dict[str, Any]:
        """Plain JSON values of everything."""
        return {
            "preset": self.experiment.preset.name,
            "note": self.experiment.preset.note,
            "settings": self.experiment.settings(),
            "seeds": list(self.experiment.seeds),
            "claims": [asdict(claim) for claim in self.claims],
            "arms": [asdict(line) for line in self.lines],
            "geometry": asdict(self.geometry),
            "runs": [
                {
                    "arm": run.arm.name,
                    "seed": run.seed,
                    "steps": len(run.rows),
                    "seconds": run.seconds_at(len(run.rows)),
                    **{
                        name: run.curve(name)
                        for name in ("validation_loss", "validation_precision", "psnr", "ssim")
                    },
                }
                for run in self.runs
            ],
        }


def reproduce(experiment: Experiment, parallel: int, progress: Progress) -> Results:
    """Makes what is missing, and finally ``results.json`` in ``experiment.out``.

    Raises:
        UsageError: as in ``Experiment.jobs``.
        ValueError: the folder contains another experiment.
    """
    jobs = experiment.jobs()
    if experiment.data is None:
        datasets.prepare(
            experiment.preset, experiment.out / "data", [job.arm.depth for job in jobs],
            default_workers(), progress,
        )  # fmt: skip
    runs.run(jobs, parallel, progress)
    found = [summary.read_run(job.arm, job.seed, job.out) for job in jobs]
    stride = experiment.preset.stride if experiment.data is None else None
    known = geometry.measure(jobs, experiment.out / "precision", stride, progress)
    lines = summary.summarise(found)
    results = Results(experiment, jobs, found, lines, known, claims.judge(found, lines, known))
    path = experiment.out / "results.json"
    write_bytes(path, (json.dumps(results.record(), indent=1) + "\n").encode())
    return results
