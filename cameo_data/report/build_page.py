"""A finished build -> its page of pictures; ``demo`` ends with it."""

from __future__ import annotations

from pathlib import Path

from cameo_data.io.work_folder import write_bytes
from cameo_data.report import page, reading, selection
from cameo_data.report.page import Page
from cameo_data.shards.reader import ShardReader
from cameo_data.types import Progress


def write(build_dir: Path, out: Path, samples: int, seed: int, progress: Progress) -> Page:
    """Write the page of a build to ``out``; same build and arguments, same bytes.

    Raises:
        DataError: the build is not finished or damaged.
        OSError: the page cannot be written.
    """
    reader = ShardReader(build_dir)
    frames = reading.frame_count(reader)
    numbers, largest = reading.read_numbers(reader, progress)
    chosen = selection.groups(largest, samples, seed)
    made = page.render(
        reader.index.name,
        reading.facts(reader.index, reader[0]),
        numbers,
        frames,
        reading.chosen_samples(reader, chosen, "draw", progress),
        seed=seed,
    )
    write_bytes(out, made.html.encode("utf-8"))
    return made


def choose_keys(build_dir: Path, samples: int, seed: int, progress: Progress) -> list[str]:
    """Keys of the groups that ``write`` would show."""
    reader = ShardReader(build_dir)
    _, largest = reading.read_numbers(reader, progress)
    keys = list(reader.keys())
    return [keys[i] for i in selection.groups(largest, samples, seed)]
