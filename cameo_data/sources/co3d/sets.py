"""CO3D's set lists and evaluation batches: which frames of a category belong to a task."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any, Literal

from cameo_data.errors import Reason
from cameo_data.io import files, parsing
from cameo_data.io.files import FileDefect

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def set_names(category: Path) -> list[str]:
    """Names of the category's set lists, e.g. ``fewview_train``."""
    found = (category / "set_lists").glob("set_lists_*.json")
    return sorted(path.stem.removeprefix("set_lists_") for path in found)


def read_set_list(category: Path, subset: str, split: Split | None) -> dict[str, array[int]]:
    """Sorted frame numbers by sequence of a subset's split, or of all three splits.

    Not every category has every subset; without the list there are none.

    Raises:
        FileDefect: it is not made as documented.
    """
    path = category / "set_lists" / f"set_lists_{subset}.json"
    values = _read(category, path) if path.exists() else {}
    if not isinstance(values, dict) or not set(values) <= set(SPLITS):
        raise _malformed(path, "no table of train, val and test")
    numbers: dict[str, array[int]] = {}
    for name in (split,) if split is not None else SPLITS:
        last = None
        for sequence, number in zip(*_columns(path, values.get(name, [])), strict=True):
            if sequence != last:  # mostly contiguous, and millions of frames pass here
                found = numbers.setdefault(sequence, array("q"))
                last = sequence
            found.append(number)
    return {sequence: array("q", sorted(set(found))) for sequence, found in numbers.items()}


def read_eval_batches(category: Path, subset: str) -> list[tuple[str, array[int]]]:
    """Sequence and frame numbers of each evaluation batch; the first frame is the target.

    Batches of one frame, as in the many-view task, are not groups and are left out. Without the
    file there are none.

    Raises:
        FileDefect: it is not made as documented.
    """
    path = category / "eval_batches" / f"eval_batches_{subset}.json"
    values = _read(category, path) if path.exists() else []
    if not isinstance(values, list):
        raise _malformed(path, "no list of batches")
    batches = []
    for batch in values:
        sequences, numbers = _columns(path, batch)
        if len(set(sequences)) > 1:
            raise _malformed(path, f"a batch of several sequences, {sequences[0]!r} and others")
        if len(numbers) > 1:
            batches.append((sequences[0], array("q", numbers)))
    return batches


def _read(category: Path, path: Path) -> Any:
    """The JSON of a list; those of the largest categories are some 50 MB long."""
    try:
        return parsing.parse_json(
            files.read_text(files.inside(category, path), parsing.MAX_JSON_BYTES)
        )
    except ValueError as error:
        raise _malformed(path, f"no JSON ({error})") from None


def _columns(path: Path, values: Any) -> tuple[list[str], list[int]]:
    """Sequences and frame numbers of a list of ``[sequence_name, frame_number, image_path]``."""
    if not isinstance(values, list):
        raise _malformed(path, f"{str(values)[:60]!r} instead of a list of frames")
    try:
        sequences, numbers = [v[0] for v in values], [v[1] for v in values]
    except (TypeError, LookupError):
        raise _malformed(path, "a frame of another form") from None
    if not (set(map(type, sequences)) <= {str} and set(map(type, numbers)) <= {int}):
        raise _malformed(path, "a frame without name or number")
    if numbers and not 0 <= min(numbers) <= max(numbers) < 2**63:
        raise _malformed(path, f"frame number {min(numbers)}")
    return sequences, numbers


def _malformed(path: Path, found: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA,
        f"{path.name} holds {found}",
        "[sequence_name, frame_number, image_path] for each frame, as CO3D v2 has it",
        "download the category's metadata again",
    )
