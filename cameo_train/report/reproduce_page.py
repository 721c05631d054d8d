"""The experiment as one self-contained page, with its figures beside it as PNG and SVG."""

from __future__ import annotations

import base64
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import jinja2

from cameo_train import __version__
from cameo_train.models import PRESETS
from cameo_train.report import precision_plots, reproduce_plots
from cameo_train.reproduce.experiment import Results
from cameo_train.reproduce.run import Job
from cameo_train.reproduce.summary import Mean

NAME = "reproduce.html"
FIGURES = "figures"


def write(results: Results) -> Path:
    """Writes figures and page into the experiment's folder; the page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    out = results.experiment.out
    figures = {"training": reproduce_plots.training(results.runs)}
    geometry, arms = results.geometry, list(dict.fromkeys(r.arm.name for r in results.runs))
    if geometry is not None and (steps := shown_steps(results)):
        figures["rotation"] = reproduce_plots.rotation(geometry, steps, arms)
        figures["layers"] = reproduce_plots.layers(geometry, steps, arms)
    (out / FIGURES).mkdir(exist_ok=True)
    pictures = {
        name: _uri(precision_plots.save(figure, out / FIGURES / name)[0].read_bytes())
        for name, figure in figures.items()
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cameo_train", "report/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("reproduce.html").render(
        results=results,
        preset=results.experiment.preset,
        pictures=pictures,
        shown=[(job, _attention(job), _samples(job)) for job in _first_seeds(results.jobs)],
        facts=facts(results),
        percent=percent,
        number=number,
    )
    partial = out / f".{NAME}.partial"
    partial.write_text(text, "utf-8")
    partial.replace(out / NAME)
    return out / NAME


def shown_steps(results: Results) -> list[int]:
    """The checkpoint nearest to a third of the steps, and the last one."""
    assert results.geometry is not None
    there = sorted({r.step for r in results.geometry.readings})
    if not there:
        return []
    third = max(len(run.rows) for run in results.runs) / 3
    return sorted({min(there, key=lambda step: abs(step - third)), there[-1]})


def facts(results: Results) -> dict[str, str]:
    """What was done, for people: label -> value."""
    experiment, preset = results.experiment, results.experiment.preset
    settings = experiment.settings()
    found = {
        "scenes": preset.scenes_text()
        if experiment.data is None
        else f"{experiment.data.train} to train on, {experiment.data.held_out} to measure on",
        "views": f"{preset.views} a sample, {preset.size}×{preset.size} px, tokens of "
        f"{preset.stride} px",
        "model": str(settings["model"]),
        "training": f"{settings['steps']} steps of {settings['batch']} samples, learning rate "
        f"{settings['lr']:g}",
        "supervision": _supervision(results.jobs),
        "seeds": ", ".join(str(seed) for seed in experiment.seeds),
        "made by": f"cameo {__version__} on {_machine()}",
    }
    if results.geometry is not None:
        found |= {f"precision: {name}": text for name, text in results.geometry.facts.items()}
    return found


def _supervision(jobs: Sequence[Job]) -> str:
    config = next((job.config for job in jobs if job.config.weight), None)
    if config is None:
        return "none"
    layer = config.layer or PRESETS[config.model].layer
    return f"weight {config.weight:g} on layer {layer}, {config.head_mix} head"


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} processor cores ({platform.machine()}), no GPU"


def percent(value: Mean | None) -> str:
    """``41 %``, with its interval where there are several seeds."""
    return number(value, "{:.0%}")


def number(value: Mean | None, form: str) -> str:
    """A mean with its interval; a dash where nothing was measured."""
    if value is None:
        return "–"
    text = form.format(value.mean)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{form.format(value.low)}, {form.format(value.high)}]"


def _first_seeds(jobs: Sequence[Job]) -> list[Job]:
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.arm.name, job)
    return list(first.values())


def _attention(job: Job) -> str | None:
    path = job.out / "attention.png"
    return _uri(path.read_bytes()) if path.exists() else None


def _samples(job: Job) -> list[tuple[int, str]]:
    """(step, picture), oldest first."""
    return [
        (int(path.stem.rpartition("-")[2]), _uri(path.read_bytes()))
        for path in sorted((job.out / "samples").glob("step-*.png"))
    ]


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
