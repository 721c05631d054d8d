"""Turns the flags of a command into a measurement: the build, the protocol, the matchers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cameo_data import ShardReader
from cameo_data.errors import UsageError
from cameo_data.types import Progress
from cameo_train.matchers import registry
from cameo_train.matchers.job import MatcherJob
from cameo_train.matchers.options import TIMESTEP, AttentionOptions
from cameo_train.precision import measurement as run
from cameo_train.precision.float32 import float32_as_it_is
from cameo_train.precision.named import Means, measure_named
from cameo_train.precision.results import RowResult, all_results
from cameo_train.protocols import NamedProtocol
from cameo_train.protocols import measurement as protocols
from cameo_train.protocols.measurement import Protocol

Failed = list[tuple[str, str]]  # spec, and one line about what is missing or wrong


@dataclass(frozen=True, eq=False)
class Session:
    """All settings, fixed before the first group is read."""

    reader: ShardReader
    specs: tuple[str, ...]
    jobs: tuple[MatcherJob, ...]
    options: AttentionOptions
    work: run.Work

    @property
    def protocol(self) -> Protocol:
        """The measurement protocol."""
        return self.work.protocol


def prepare(shards: Path, features: str, out: Path, asked: Mapping[str, Any]) -> Session:
    """A session with the flags' settings; None and empty values take the defaults.

    Args:
        asked: stride, thresholds, bins_deg, min_confidence, samples, batch, layers, heads,
            timesteps, checkpoints, references, seed, device.

    Raises:
        DataError: there is no finished build.
        UsageError: the flags are invalid.
    """
    reader = ShardReader(shards)
    first = reader[0]
    plan = protocols.protocol_of(
        first.cameras[0].hw, sorted(first.correspondence), stride=asked["stride"],
        thresholds=asked["thresholds"] or protocols.DEFAULT_THRESHOLDS,
        bins_deg=asked["bins_deg"] or protocols.DEFAULT_BINS_DEG,
        min_confidence=asked["min_confidence"], masked=first.restricted_to_mask,
    )  # fmt: skip
    options = AttentionOptions(
        tuple(asked["layers"]), tuple(asked["heads"]) or ("auto",),
        tuple(asked["timesteps"]) or (TIMESTEP,), asked["checkpoints"], asked["references"],
        asked["seed"],
    )  # fmt: skip
    specs = tuple(registry.split(features))
    jobs = tuple(job for spec in specs for job in registry.jobs(spec, options))
    samples = run.chosen_samples(len(reader), asked["samples"])
    device = torch.device(asked["device"] or ("cuda" if torch.cuda.is_available() else "cpu"))
    work = run.Work(shards, out, plan, samples, asked["batch"], device)
    return Session(reader, specs, jobs, options, work)


def measure(session: Session, progress: Progress) -> tuple[list[RowResult], Failed]:
    """Rows of all matchers, and the matchers that failed, which do not stop the others.

    Raises:
        DataError: the build is damaged, or has no data on visibility.
    """
    found, failed = [], []
    for job in (run.LIMITS, *session.jobs):
        try:
            with float32_as_it_is(session.work.device):
                one = run.measure(session.work, job, session.reader, progress)
        except UsageError:
            raise
        except ValueError as error:  # missing weights, or features that are NaN or do not fit
            failed.append((job.spec, " ".join(str(error).split())))
            continue
        file = session.work.path(job, session.reader.index.sha256)
        found.append((one, str(file.relative_to(session.work.out))))
    heads = session.options.heads
    rows = all_results(
        found, session.protocol, best_head="best" in heads, each="each" in heads
    )  # fmt: skip
    return rows, failed


def measure_by(
    named: NamedProtocol, session: Session, progress: Progress
) -> tuple[dict[str, Means], Failed]:
    """The same for a named protocol."""
    found: dict[str, Means] = {}
    failed = []
    for job in session.jobs:
        try:
            with float32_as_it_is(session.work.device):
                found |= measure_named(
                    named, job, session.reader, session.work.samples, session.protocol,
                    session.work.device, session.options.references, progress,
                )  # fmt: skip
        except UsageError:
            raise
        except ValueError as error:
            failed.append((job.spec, " ".join(str(error).split())))
    return found, failed
