"""Which sequences of a CO3D category are scenes: set lists, quality scores, folders."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from cameo_data.errors import Failure, Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.co3d import sets
from cameo_data.sources.co3d.annotations import SEQUENCES, SequenceRecord, parse, read_records
from cameo_data.sources.co3d.sets import Split
from cameo_data.sources.common.file_listing import is_text, natural_key, printable
from cameo_data.sources.source import PictureOptions

DATASET = "co3d"
# The subset that a split is taken from where none is named: the largest, and the one that has
# sequences for training, validation and test.
DEFAULT_SUBSET = "fewview_train"


def _names(value: Any) -> Any:
    return tuple(v.strip() for v in value.split(",")) if isinstance(value, str) else value


class Co3dOptions(PictureOptions):
    """Options: which sequences and frames, and what counts as foreground and as depth."""

    categories: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (), description="categories to read, e.g. apple,hydrant; none means all"
    )
    subset: str | None = Field(
        None,
        pattern=r"^\w+$",
        description="only frames of this set list, e.g. fewview_train or manyview_dev_0",
    )
    split: Split | None = Field(
        None,
        description=f"train, val or test of the subset ({DEFAULT_SUBSET} where none is given)",
    )
    eval_batches: bool = Field(
        False, description="make each evaluation batch of the subset a scene, its target first"
    )
    min_viewpoint_quality: float | None = Field(
        None, description="least viewpoint_quality_score of a sequence; unscored ones are left out"
    )
    min_cloud_quality: float | None = Field(
        None, description="least quality_score of its point cloud; unscored ones are left out"
    )
    mask_threshold: float = Field(
        0.5, gt=0, le=1, description="least probability of foreground in the masks"
    )
    depth_masks: bool = Field(
        True, description="use depth only where its mask says it agrees with other views"
    )

    @model_validator(mode="after")
    def _together(self) -> Co3dOptions:
        if self.eval_batches and self.subset is None:
            raise ValueError("eval_batches needs a subset, e.g. fewview_dev")
        if self.eval_batches and self.split not in (None, "test"):
            raise ValueError("evaluation batches belong to the split test")
        return self

    @property
    def list_name(self) -> str | None:
        """The subset whose list is read, if any."""
        return self.subset or (DEFAULT_SUBSET if self.split is not None else None)


@dataclass(frozen=True, slots=True)
class ListedSequence:
    """Where a scene is; ``numbers`` are its frames in order, None for all of the sequence."""

    category: Path
    sequence: str
    numbers: array[int] | None


@dataclass(eq=False)
class Listing:
    """Scenes found so far.

    Attributes:
        entries: by scene id, ``CATEGORY/SEQUENCE`` or ``CATEGORY/SEQUENCE/eval-00000``.
        failures: sequences whose record is wrong, categories that cannot be read.
        left_out: number of sequences that were not selected or are not here, by reason.
        set_names: names of the set lists found.
    """

    options: Co3dOptions
    entries: dict[str, ListedSequence] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    set_names: set[str] = field(default_factory=set)

    def add(self, category: Path) -> None:
        """Lists a category; one that cannot be read is a failure."""
        try:
            found = dict(self._scenes(category))
        except FileDefect as defect:
            self.failures.append(defect.at(DATASET, category.name).failure)
        else:
            self.entries |= {key: found[key] for key in sorted(found, key=natural_key)}

    def _scenes(self, category: Path) -> Iterator[tuple[str, ListedSequence]]:
        self.set_names |= set(sets.set_names(category))
        chosen = self._chosen(category)
        here = {path.name for path in category.iterdir() if path.is_dir()}
        seen: set[str] = set()
        for values in read_records(files.inside(category, category / SEQUENCES)):
            try:
                record = _checked(values, seen)
            except FileDefect as defect:
                given = values.get("sequence_name", "(unnamed)")
                scene_id = f"{category.name}/{printable(str(given)[:80])}"
                self.failures.append(defect.at(DATASET, scene_id).failure)
                continue
            name = record.sequence_name
            seen.add(name)
            why = self._why_not(record, here, chosen)
            if why is not None:
                self.left_out[why] += 1
            elif chosen is None:
                yield f"{category.name}/{name}", ListedSequence(category, name, None)
            else:
                for suffix, numbers in chosen[name].items():
                    yield f"{category.name}/{name}{suffix}", ListedSequence(category, name, numbers)

    def _chosen(self, category: Path) -> dict[str, dict[str, array[int]]] | None:
        """By sequence: frame numbers of its scenes by suffix of their id; None for all frames."""
        options = self.options
        if options.list_name is None:
            return None
        chosen: dict[str, dict[str, array[int]]] = {}
        if options.eval_batches:
            for sequence, numbers in sets.read_eval_batches(category, options.list_name):
                batches = chosen.setdefault(sequence, {})
                batches[f"/eval-{len(batches):05d}"] = numbers
        else:
            frames = sets.read_set_list(category, options.list_name, options.split)
            chosen = {sequence: {"": numbers} for sequence, numbers in frames.items()}
        return chosen

    def _why_not(
        self, record: SequenceRecord, here: set[str], chosen: Mapping[str, Any] | None
    ) -> str | None:
        options = self.options
        if record.sequence_name not in here:
            return "annotated but without a folder here"
        if chosen is not None and record.sequence_name not in chosen:
            what = "evaluation batch" if options.eval_batches else f"split {options.split or 'any'}"
            return f"without a frame in {options.list_name}, {what}"
        cloud = record.point_cloud.quality_score if record.point_cloud is not None else None
        for name, score, least in (
            ("viewpoint", record.viewpoint_quality_score, options.min_viewpoint_quality),
            ("cloud", cloud, options.min_cloud_quality),
        ):
            if least is not None and (score is None or score < least):
                return f"below min_{name}_quality={least:g} or not scored"
        return None


def _checked(values: Any, seen: set[str]) -> SequenceRecord:
    record = parse(SequenceRecord, values, SEQUENCES)
    name = record.sequence_name
    if name in seen:
        raise FileDefect(
            Reason.DUPLICATE_ID,
            f"sequence {name} appears twice in {SEQUENCES}",
            "each sequence once",
            "download the category's metadata again",
        )
    if not is_text(name) or "/" in name or name in ("", ".", ".."):
        raise FileDefect(
            Reason.BAD_NAME,
            f"sequence name {printable(name)!r}",
            "the name of a folder",
            "download the category's metadata again",
        )
    return record
