"""CO3D v2 (Common Objects in 3D): turntable videos with COLMAP's cameras, depth and masks.

``listing`` decides which sequences are scenes; ``annotations`` has the records and ``index`` finds
those of one sequence; ``frames`` turns a record into a frame and converts its camera; ``sets``
reads set lists and evaluation batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.io.orientation import rule_of_stated_size
from cameo_data.sources.co3d.annotations import FRAMES, SEQUENCES, Co3dFrameRecord, parse
from cameo_data.sources.co3d.frames import FILE_PLACES, FrameReader, record_files
from cameo_data.sources.co3d.index import FrameIndex
from cameo_data.sources.co3d.listing import DATASET, Co3dOptions, ListedSequence, Listing
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.scene_folders import known, subfolders
from cameo_data.sources.common.unused import unused_files
from cameo_data.sources.source import SourceSpec
from cameo_data.types import Frame, Scene, Unused


class Co3dSource:
    """The sequences in a CO3D v2 folder or in one of its categories.

    Attributes:
        failures: categories and sequences that cannot be used.
        notes: what was not selected or is not here, one line each.

    Raises:
        DataError: no such folder, no category in it, or no sequence is left.
    """

    dataset = DATASET

    def __init__(self, root: Path, options: Co3dOptions) -> None:
        self._options = options
        categories = {path.name: path for path in _categories(root)}
        if missing := sorted(set(options.categories) - set(categories)):
            raise _no_category(root, f"no category {missing[0]!r}", sorted(categories))
        if not categories:
            raise _no_category(root, "no category" if root.is_dir() else "no such folder", [])
        listing = Listing(options)
        for name in options.categories or sorted(categories):
            listing.add(categories[name])
        lost = subfolders(root, DATASET)[1]  # categories on a disk that is not mounted
        self.failures: Sequence[Failure] = (*lost, *listing.failures)
        self.notes: Sequence[str] = tuple(
            f"sequences {why}: {count}" for why, count in listing.left_out.items()
        )
        if not listing.entries:
            raise _nothing_left(listing, self.notes)
        self._entries = listing.entries
        self._indexes: dict[Path, FrameIndex | FileDefect] = {}

    def scene_ids(self) -> Sequence[str]:
        """``CATEGORY/SEQUENCE``, followed by ``/eval-00000`` for evaluation batches."""
        return list(self._entries)

    def scene(self, scene_id: str) -> Scene:
        entry = known(self._entries, scene_id)
        try:
            folder = files.inside(entry.category, entry.category / entry.sequence)
            values = self._index(entry.category).read(entry.sequence)
            if not values:
                raise _no_frames(entry.sequence)
        except FileDefect as defect:
            raise defect.at(DATASET, scene_id) from None
        reader = FrameReader(
            entry.category.parent,
            folder,
            self._options.mask_threshold,
            self._options.depth_masks,
            rule_of_stated_size(self._options.exif_orientation),
        )
        frames, defects = _read(reader, values, entry)
        return Scene(
            DATASET,
            scene_id,
            tuple(frames),
            "arbitrary",
            tuple(defect.at(DATASET, scene_id, name).failure for name, defect in defects),
            unused=_unused(folder, values, entry),
        )

    def _index(self, category: Path) -> FrameIndex:
        """Where the category's sequences are in its annotations, searched once.

        Raises:
            FileDefect: they cannot be read; raised again on each call.
        """
        if category not in self._indexes:
            try:
                self._indexes[category] = FrameIndex(files.inside(category, category / FRAMES))
            except FileDefect as defect:
                self._indexes[category] = defect
        known = self._indexes[category]
        if isinstance(known, FileDefect):
            raise known
        return known


def _unused(folder: Path, values: Sequence[Any], entry: ListedSequence) -> tuple[Unused, ...]:
    """Files of the sequence that no annotation names, and those of frames not selected."""
    root = entry.category.parent
    wanted = None if entry.numbers is None else set(entry.numbers)
    asked: list[Any] = []
    others: list[Any] = []
    for value in values:
        unwanted = wanted is not None and value.get("frame_number") not in wanted
        (others if unwanted else asked).append(value)
    why = f"that {FRAMES} does not name"
    kinds = [(f"{place}/*", f"{what} {why}") for place, what in FILE_PLACES.items()]
    left_out = {
        "files of frames that the set list or batch does not name": record_files(root, others)
    }
    return unused_files(folder, record_files(root, asked), kinds, left_out=left_out)


def _read(
    reader: FrameReader, values: Sequence[Any], entry: ListedSequence
) -> tuple[list[Frame], list[tuple[str, FileDefect]]]:
    """The entry's frames in order, and what is wrong with others, from a sequence's records."""
    wanted = None if entry.numbers is None else dict.fromkeys(entry.numbers)
    frames: dict[int, Frame] = {}
    defects: list[tuple[str, FileDefect]] = []
    seen: set[int] = set()
    for place, value in enumerate(values):
        number = value.get("frame_number")
        name = str(number)
        if not isinstance(number, int):
            name = f"record {place}"
        elif wanted is not None and number not in wanted:
            continue
        elif number in seen:
            defects.append((f"{number} again", _duplicate(number)))
            continue
        else:
            seen.add(number)
        try:
            record = parse(Co3dFrameRecord, value, FRAMES)
            frames[record.frame_number] = reader.frame(record)
        except FileDefect as defect:
            defects.append((name, defect))
    if wanted is None:
        return [frames[number] for number in sorted(frames)], defects
    defects += [(str(number), _not_annotated()) for number in wanted if number not in seen]
    return [frames[number] for number in wanted if number in frames], defects


def _categories(root: Path) -> list[Path]:
    """Folders with annotations: the root itself, or those directly in it."""
    try:
        if (root / FRAMES).is_file():
            return [root.resolve()]
        return [path for path in root.iterdir() if (path / FRAMES).is_file()]
    except OSError:
        return []


def _no_category(root: Path, found: str, known: list[str]) -> DataError:
    return DataError(
        Reason.MISSING_FILE,
        dataset=DATASET,
        found=f"{found} in {printable(str(root))}",
        expected=", ".join(known) or f"CATEGORY/{FRAMES} and CATEGORY/{SEQUENCES}",
        remedy="give the folder that CO3D's download script filled",
    )


def _nothing_left(listing: Listing, notes: Sequence[str]) -> DataError:
    if listing.failures:
        first = listing.failures[0]
        return DataError(
            first.reason,
            dataset=DATASET,
            scene_id=first.scene_id,
            found=first.found,
            expected=first.expected,
            remedy=first.remedy,
        )
    lists = ", ".join(sorted(listing.set_names)) or "none"
    return DataError(
        Reason.MISSING_FILE,
        dataset=DATASET,
        found=f"no sequence is left ({'; '.join(notes) or 'none is annotated'})",
        expected=f"at least one; the set lists here are: {lists}",
        remedy="relax the selection (-o subset, split, min_…) or download more",
    )


def _no_frames(sequence: str) -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA,
        f"{FRAMES} has no frame of sequence {sequence}",
        "its frames",
        "download the category's metadata again",
    )


def _duplicate(number: int) -> FileDefect:
    return FileDefect(
        Reason.DUPLICATE_ID,
        f"frame_number {number} appears twice in {FRAMES}",
        "each number once in a sequence",
        "download the category's metadata again",
    )


def _not_annotated() -> FileDefect:
    return FileDefect(
        Reason.BAD_METADATA,
        f"the set list names a frame that {FRAMES} does not have",
        "an annotated frame",
        "download the category's metadata again",
    )


def _recognise(root: Path) -> bool:
    return bool(_categories(root))


def _open(root: Path, options: Any) -> Co3dSource:
    return Co3dSource(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="CO3D v2: videos round objects of 51 categories, with COLMAP's cameras and depth",
    layout=f"CATEGORY/{FRAMES}, CATEGORY/{SEQUENCES}, CATEGORY/set_lists/*.json, "
    "CATEGORY/eval_batches/*.json, CATEGORY/SEQUENCE/{images,depths,depth_masks,masks}",
    conventions="PyTorch3D cameras (row vectors, x left, y up, z forward; ndc_isotropic, or "
    "ndc_norm_image_bounds where the format is missing) become OpenCV's; depth is a float16 in 16 "
    "PNG bits × scale_adjustment, in COLMAP's unit; masks are probabilities × 255",
    licence="CC BY-NC 4.0: not for commercial use",
    download="github.com/facebookresearch/co3d (co3d/download_dataset.py; 5.5 TB, or 8.9 GB with "
    "--single_sequence_subset)",
    options=Co3dOptions,
    open=_open,
    recognise=_recognise,
)
