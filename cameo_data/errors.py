"""Errors that a person can cause, each in one line: where, what was found, what was expected and
what to do."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any


class UsageError(ValueError):
    """A flag or recipe key that does not exist, or two that conflict."""


# Our name on the package index, where "cameo" is another project.
DISTRIBUTION = "cameo-mv"
# Optional package, as it is imported -> the extra of pyproject.toml that installs it.
EXTRA_OF = {
    "OpenEXR": "exr",
    "accelerate": "train",
    "diffusers": "train",
    "safetensors": "train",
    "transformers": "train",
    "torchmetrics": "train",
    "torchvision": "lpips",
    "kornia": "matchers",
}


def install(*packages: str) -> str:
    """The command that installs these optional packages: ``pip install 'cameo-mv[train]'``."""
    extras = sorted({EXTRA_OF[package] for package in packages})
    return f"pip install '{DISTRIBUTION}[{','.join(extras)}]'"


def needs(what: str, *packages: str) -> str:
    """One line: ``sd needs the package diffusers; pip install 'cameo-mv[train]'``."""
    noun = "package" if len(packages) == 1 else "packages"
    return f"{what} needs the {noun} {' and '.join(packages)}; {install(*packages)}"


# These are the machine's problem, not a file's: the next file would fail in the same way.
MACHINE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


class Reason(StrEnum):
    """Why a frame or scene was left out; the key under which failures are counted."""

    MISSING_FILE = "missing_file"
    UNREADABLE_IMAGE = "unreadable_image"
    UNREADABLE_DEPTH = "unreadable_depth"
    WRONG_SIZE = "wrong_size"
    BAD_POSE = "bad_pose"
    BAD_INTRINSICS = "bad_intrinsics"
    EMPTY_DEPTH = "empty_depth"
    NO_DEPTH = "no_depth"
    REDACTED = "redacted"
    UNKNOWN_CAMERA_MODEL = "unknown_camera_model"
    DUPLICATE_ID = "duplicate_id"
    BAD_NAME = "bad_name"
    BAD_METADATA = "bad_metadata"
    UNASSOCIATED = "unassociated"
    TOO_FEW_VIEWS = "too_few_views"
    NO_OVERLAP = "no_overlap"
    NO_PARALLAX = "no_parallax"
    NO_ANCHOR = "no_anchor"
    METHOD_FAILED = "method_failed"
    READING_FAILED = "reading_failed"
    DAMAGED_SHARD = "damaged_shard"


@dataclass(frozen=True)
class Failure:
    """One frame, scene or dataset that was left out, as written to ``failures.jsonl``.

    ``frame_id`` None means the whole scene, ``scene_id`` None the whole dataset.
    """

    reason: Reason
    dataset: str
    scene_id: str | None
    frame_id: str | None
    found: str
    expected: str
    remedy: str

    @property
    def message(self) -> str:
        """One line: ``co3d apple/110 frame 7: depth is 480×640; expected 1067×600; resize one``."""
        where = self.dataset
        if self.scene_id is not None:
            where += f" {self.scene_id}"
        if self.frame_id is not None:
            where += f" frame {self.frame_id}"
        line = f"{where}: {self.found}; expected {self.expected}; {self.remedy}"
        return " ".join(line.split())

    def record(self) -> dict[str, str | None]:
        """Plain values for JSON."""
        return {**asdict(self), "reason": self.reason.value, "message": self.message}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Failure:
        """The failure from what ``record`` or ``dataclasses.asdict`` gave, even after JSON."""
        values = {field.name: record[field.name] for field in fields(cls)}
        return cls(**{**values, "reason": Reason(values["reason"])})


class DataError(Exception):
    """Bad data (not a caller's mistake, which is ValueError). ``str()`` is one line."""

    def __init__(
        self,
        reason: Reason,
        *,
        dataset: str,
        scene_id: str | None = None,
        frame_id: str | None = None,
        found: str,
        expected: str,
        remedy: str,
    ) -> None:
        self.failure = Failure(
            reason=reason,
            dataset=dataset,
            scene_id=scene_id,
            frame_id=frame_id,
            found=found,
            expected=expected,
            remedy=remedy,
        )
        super().__init__(self.failure.message)

    def __reduce__(self) -> tuple[object, ...]:
        # pickling between worker processes drops keyword-only arguments
        return (_restore, (self.failure,))


def _restore(failure: Failure) -> DataError:
    return DataError(
        failure.reason,
        dataset=failure.dataset,
        scene_id=failure.scene_id,
        frame_id=failure.frame_id,
        found=failure.found,
        expected=failure.expected,
        remedy=failure.remedy,
    )


class TooManyFailures(ValueError):
    """More failures than allowed, or nothing left to write; the message says what to do.

    Attributes:
        counts: what was found, used and left out; its ``failures`` hold ``by_reason`` and
            ``allowed``.
        failures: every failure.
    """

    def __init__(
        self,
        counts: Mapping[str, Any],
        failures: Sequence[Failure],
        *,
        left: str,
        written: Path | None,
        remedy: str = "repair the data or raise --max-failures, and run again",
    ) -> None:
        """``left`` says what could be made, ``written`` where the failures are listed."""
        self.counts, self.failures = counts, failures
        by_reason = counts["failures"]["by_reason"]
        reasons = ", ".join(f"{n} {reason}" for reason, n in by_reason.items())
        # show the most frequent kind: its consequences, such as too few views, tell less
        most = max(by_reason, key=by_reason.get, default=None)
        shown = next((f for f in failures if f.reason.value == most), None)
        first = "the dataset is empty" if shown is None else f"first: {shown.message}"
        where = f"all in {written}; " if written and failures else ""
        super().__init__(
            f"{plural(len(failures), 'failure')} ({reasons or 'none'}), "
            f"{counts['failures']['allowed']} allowed, {left}; {first}; {where}{remedy}"
        )


def plural(count: int, noun: str) -> str:
    """``1 shard``, ``2 shards``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
