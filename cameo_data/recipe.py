"""What a build does: one model that validates the YAML file and the command's flags.

The recipe file and the flags each give a plain mapping (``io.yaml_files``). The model checks both
together, and the hash of its canonical JSON tells builds apart.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cameo_data.io import boundary, parsing
from cameo_data.io.local_paths import require_local
from cameo_data.io.records import canonical_json
from cameo_data.io.settings import Settings
from cameo_data.sources import Source, checked_options, open_source
from cameo_data.sources.common.guarded import Guarded
from cameo_data.sources.common.subset import subset

# These fields say when to stop, not what to make: a build may resume with other values for them.
NOT_HASHED = frozenset({"max_failures"})


def _size_text(value: Any) -> Any:
    """``WIDTHxHEIGHT`` from a number (a square) or a text; None stays None."""
    if value is None:
        return None
    height, width = parsing.parse_hw(str(value))
    return f"{width}x{height}"


def allowance(value: Any) -> Any:
    """A count (int), or a share of the frames as a fraction (float) or as text (``10%``)."""
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"\d+", text):
            return int(text)
        if found := re.fullmatch(r"(\d+(?:\.\d+)?)%", text):
            value = float(found[1]) / 100
        elif re.fullmatch(r"\d*\.\d+", text):
            value = float(text)
    count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    share = isinstance(value, float) and 0 <= value <= 1
    if not (count or share):
        raise ValueError("expected a number of failures (5) or a share of the frames (10%)")
    return value


def _listed(value: Any) -> Any:
    """A single text as a list with one item."""
    return [value] if isinstance(value, str) else value


class SourceRecipe(Settings):
    """Where the scenes come from."""

    _within: ClassVar[tuple[str, ...]] = ("source",)

    name: str = Field(description="Format of the dataset; `cameo-data sources` lists them.")
    root: str = Field(description="Folder of the dataset, relative to the current directory.")
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of the format; `cameo-data sources NAME` lists them.",
    )
    scenes: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description="Only scenes with such an id (`*` stands for anything); repeat the flag.  "
        "[default: all]",
    )
    limit: int | None = Field(
        default=None, ge=1, description="Only the first N scenes.  [default: all]"
    )
    depth: str | None = Field(
        default=None,
        description="Folder that `cameo-data depth` wrote, to use its depth.  "
        "[default: the dataset's own depth]",
    )
    depth_confidence: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Least confidence of a pixel taken from that depth, 0 to 1.",
    )

    @field_validator("root", "depth", mode="before")
    @classmethod
    def _root(cls, value: Any, info: ValidationInfo) -> Any:
        require_local(str(value), info.field_name or "root")
        return os.path.normpath(value) if isinstance(value, (str, Path)) else value

    @model_validator(mode="after")
    def _options(self) -> SourceRecipe:
        # keep every option of the format with its value, so that the resolved recipe is complete
        options = checked_options(self.name, self.options)
        object.__setattr__(self, "options", options.model_dump(mode="json"))
        return self

    def open(self) -> Source:
        """The dataset, or the chosen part of it, listed but not read.

        Raises:
            DataError: the folder holds nothing of this format, no scene is chosen, or there is no
                finished depth at ``depth``.
        """
        with boundary.reading(self.name):
            whole = open_source(self.name, Path(self.root), self.options)
            chosen = subset(whole, self.scenes, self.limit)
            if self.depth is None:
                return Guarded(chosen)
            # imported here because depth methods import recipes
            from cameo_data.sources.attached_depth.source import attach

            return Guarded(attach(chosen, Path(self.depth), self.depth_confidence))


class Recipe(Settings):
    """Everything that decides the bytes of a build."""

    source: SourceRecipe
    views: int = Field(default=4, ge=2, le=32, description="Views per sample.")
    strategy: Literal["video", "uniform", "balanced"] = Field(
        default="balanced",
        description="How views are chosen: video (consecutive, with bounded random gaps), "
        "uniform (any views that overlap) or balanced (evenly over the rotation bins).",
    )
    groups_per_scene: int | None = Field(
        default=None,
        ge=1,
        description="Samples per scene.  [default: as many as use every frame that overlaps with "
        "others]",
    )
    min_overlap: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Least share of VISIBLE queries, both ways, between a view and another of "
        "its group.",
    )
    max_frame_gap: int = Field(
        default=10,
        ge=1,
        description="Largest gap between the views of strategy video, in candidate frames.",
    )
    rotation_bins: tuple[float, ...] = Field(
        default=(0, 15, 30, 60, 90, 120, 180),
        description="Edges of the rotation bins of strategy balanced, in degrees; repeat the flag.",
    )
    frame_step: int = Field(
        default=1, ge=1, description="Make every n-th frame of a scene a candidate."
    )
    max_frames: int = Field(
        default=512,
        ge=2,
        le=4096,
        description="Maximum number of candidate frames per scene, spread evenly over it.",
    )
    strides: tuple[Annotated[int, Field(ge=1, le=256)], ...] = Field(
        default=(8, 16),
        description="Query grid to store, as a distance in pixels; repeat the flag.",
    )
    corr: Literal["token", "full", "none"] = Field(
        default="token",
        description="Correspondences to store: token (at the strides), full (at every pixel) or "
        "none (depth and pose only).",
    )
    size: Annotated[str | None, BeforeValidator(_size_text)] = Field(
        default=None,
        description="Size to resize and centre-crop to, in pixels: 512 or 640x480 (width x "
        "height).  [default: as the files are]",
    )
    image_format: Literal["png", "jpg", "webp"] = Field(
        default="jpg",
        description="Format of images that cannot be kept byte for byte; png loses nothing and "
        "weighs over three times as much as jpg of quality 95.",
    )
    image_quality: int = Field(
        default=95, ge=1, le=100, description="Quality of jpg and webp images, 1 to 100."
    )
    restrict_to_mask: bool = Field(
        default=False, description="Match only the foreground, where the source has masks."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of all random choices.")
    samples_per_shard: int = Field(
        default=32, ge=1, le=100_000, description="Samples per shard, which is one tar file."
    )
    max_failures: Annotated[int | float, BeforeValidator(allowance)] = Field(
        default=0.1,
        description="Failures allowed: a number (5) or a share of the frames found (10%).",
    )

    @field_validator("rotation_bins")
    @classmethod
    def _bins(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(a < b for a, b in itertools.pairwise(edges))
        if len(edges) < 2 or not rising or edges[0] < 0 or edges[-1] > 180:
            raise ValueError("expected at least two rising angles from 0 to 180")
        return edges

    @field_validator("strides")
    @classmethod
    def _strides(cls, strides: tuple[int, ...]) -> tuple[int, ...]:
        if not strides:
            raise ValueError("expected at least one stride; use corr: none to store none")
        return tuple(sorted(set(strides)))

    @property
    def hw(self) -> tuple[int, int] | None:
        """``size`` as (height, width)."""
        return None if self.size is None else parsing.parse_hw(self.size)

    @property
    def stored_strides(self) -> tuple[int, ...]:
        """Strides of the correspondences that the shards hold."""
        return {"token": self.strides, "full": (1,), "none": ()}[self.corr]

    def hash(self) -> str:
        """Hexadecimal SHA-256 of everything that decides the bytes."""
        values = {k: v for k, v in self.record().items() if k not in NOT_HASHED}
        return hashlib.sha256(canonical_json(values)).hexdigest()

    def record(self) -> dict[str, Any]:
        """Plain JSON values of every field."""
        return self.model_dump(mode="json")

    def yaml(self) -> str:
        """The resolved recipe as YAML that ``yaml_files.load`` reads back."""
        return yaml.safe_dump(self.record(), sort_keys=False, allow_unicode=True)


def spelled_as(recorded: Mapping[str, Any] | None, source: SourceRecipe) -> SourceRecipe:
    """``source`` as a record spells it, or unchanged where the record is about other data.

    ``rec``, ``./rec/``, ``/data/rec`` and a link to it are one folder: work that began under one
    spelling resumes under any other and gives the same bytes.
    """
    if recorded is None:
        return source
    try:
        before = SourceRecipe.model_validate(dict(recorded))
    except ValidationError:
        return source
    return before if _by_place(before) == _by_place(source) else source


def _by_place(source: SourceRecipe) -> dict[str, Any]:
    places = {
        key: os.path.realpath(value)
        for key, value in (("root", source.root), ("depth", source.depth))
        if value is not None
    }
    return {**source.model_dump(mode="json"), **places}


def make(values: Mapping[str, Any]) -> Recipe:
    """The checked recipe.

    Raises:
        UsageError: one line naming key, value and what was expected; for an unknown key the
            nearest known one.
    """
    return Recipe.checked(values)


def source_recipe(values: Mapping[str, Any]) -> SourceRecipe:
    """Like ``make``, for a recipe's ``source`` alone."""
    return SourceRecipe.checked(values)


def allowed(max_failures: int | float, frames_found: int) -> int:
    """The number of failures allowed; a share of the frames found is rounded down."""
    return max_failures if isinstance(max_failures, int) else int(max_failures * frames_found)
