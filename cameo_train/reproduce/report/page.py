"""The experiment as one self-contained page, with its figures also as PNG and SVG."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from cameo_train import __version__
from cameo_train.models import preset as model_preset
from cameo_train.precision.report import plots as precision_plots
from cameo_train.report import pages
from cameo_train.reproduce.arm_runs import TrainingRun
from cameo_train.reproduce.experiment import Results
from cameo_train.reproduce.report import plots as reproduce_plots
from cameo_train.reproduce.summary import shown

NAME = "reproduce.html"
FIGURES = "figures"


def write(results: Results) -> Path:
    """Writes figures and page into the experiment's folder and returns the page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    out = results.experiment.out
    geometry, arms = results.geometry, list(dict.fromkeys(r.arm.name for r in results.runs))
    steps = sorted({geometry.early, geometry.last})
    figures = {
        "training": reproduce_plots.training(results.runs),
        "rotation": reproduce_plots.rotation(geometry, steps, arms),
        "layers": reproduce_plots.layers(geometry, steps, arms),
    }
    (out / FIGURES).mkdir(exist_ok=True)
    pictures = {
        name: pages.png_uri(precision_plots.save(figure, out / FIGURES / name)[0].read_bytes())
        for name, figure in figures.items()
    }
    text = pages.render(
        "reproduce.html",
        results=results,
        preset=results.experiment.preset,
        pictures=pictures,
        pictured=[(job, _attention(job), _samples(job)) for job in _first_seeds(results.jobs)],
        facts=facts(results),
        shown=shown,
        share=lambda value: shown(value, "{:.0%}") or "–",
    )
    pages.write_text(out / NAME, text)
    return out / NAME


def facts(results: Results) -> dict[str, str]:
    """What was done, for readers: label -> value."""
    experiment, preset = results.experiment, results.experiment.preset
    settings = experiment.settings()
    if experiment.data is None:
        scenes = {
            "scenes": preset.scenes_text(),
            "views": f"{preset.views} a sample, {preset.size}×{preset.size} px",
        }
    else:
        data = experiment.data
        scenes = {"shards": f"{data.train} to train on, {data.held_out} to measure on"}
    return {
        **scenes,
        "model": str(settings["model"]),
        "training": f"{settings['steps']} steps of {settings['batch']} samples, learning rate "
        f"{settings['lr']:g}",
        "supervision": _supervision(results.jobs),
        "seeds": ", ".join(str(seed) for seed in experiment.seeds),
        "made by": f"cameo {__version__} on {_machine()}",
        **{f"precision: {name}": text for name, text in results.geometry.facts.items()},
    }


def _supervision(jobs: Sequence[TrainingRun]) -> str:
    config = next((job.config for job in jobs if job.config.weight), None)
    if config is None:
        return "none"
    layer = config.layer or model_preset(config.model).layer
    until = config.weight_until
    so_long = "" if until is None or until >= config.steps else f", for the first {until} steps"
    return f"weight {config.weight:g} on layer {layer}, {config.head_mix} head{so_long}"


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} processor cores ({platform.machine()}), no GPU"


def _first_seeds(jobs: Sequence[TrainingRun]) -> list[TrainingRun]:
    first: dict[str, TrainingRun] = {}
    for job in jobs:
        first.setdefault(job.arm.name, job)
    return list(first.values())


def _attention(job: TrainingRun) -> str | None:
    path = job.out / "attention.png"
    return pages.png_uri(path.read_bytes()) if path.exists() else None


def _samples(job: TrainingRun) -> list[tuple[int, str]]:
    """(step, picture), oldest first."""
    return [
        (int(path.stem.rpartition("-")[2]), pages.png_uri(path.read_bytes()))
        for path in sorted((job.out / "samples").glob("step-*.png"))
    ]
