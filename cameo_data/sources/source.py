"""What a source is: a dataset's own layout, read as scenes.

A source lists cheaply and opens no pixels; ``frames.read_view`` reads a frame on demand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import BeforeValidator, Field

from cameo_data.errors import Failure
from cameo_data.io.settings import Settings
from cameo_data.types import DepthCodec, Scene

# Where ``refuse`` is given, a source may still decide by sizes that leave no doubt.
ExifOption = Literal["refuse", "stored", "displayed"]


def _known_codec(value: Any) -> Any:
    if not isinstance(value, str) or value not in list(DepthCodec):
        raise ValueError(f"expected one of {', '.join(DepthCodec)}")
    return value


# A depth codec in a file or an option; the error lists all of them.
CodecOption = Annotated[DepthCodec, BeforeValidator(_known_codec)]


def exif_field(default: ExifOption) -> Any:
    """The option ``exif_orientation``, with a source's own default."""
    return Field(
        default,
        description="pictures whose EXIF asks viewers to turn them: refuse; stored ignores the tag "
        "(K, depth, masks and poses are those of the stored pixels); displayed turns the picture "
        "first (they are those of the picture as shown)",
    )


class SourceOptions(Settings):
    """Base of every source's options; unknown keys are errors."""


class PictureOptions(SourceOptions):
    """Base of the options of sources that read picture files."""

    exif_orientation: ExifOption = exif_field("refuse")


@runtime_checkable
class Source(Protocol):
    """An opened dataset."""

    @property
    def dataset(self) -> str:
        """Name of the dataset in samples and messages."""

    @property
    def failures(self) -> Sequence[Failure]:
        """Dataset-level failures of listing: scenes found but not offered by ``scene_ids``."""

    def scene_ids(self) -> Sequence[str]:
        """All scenes in a stable (sorted) order."""

    def scene(self, scene_id: str) -> Scene:
        """The scene's frames and cameras; no pixels are read.

        Raises:
            DataError: nothing of the scene can be used.
        """


@dataclass(frozen=True)
class SourceSpec:
    """A format: how to recognise and open it, and what to tell people about it.

    Attributes:
        options: the model of ``-o key=value`` and of a recipe's ``source.options``.
        open: (root, options) -> Source.
        recognise: whether a folder looks like this format; cheap, never raises.
        is_scene: whether a folder is one scene, of formats whose scenes are folders; ``recognise``
            then looks as deep as listing does (``folders.looks_like``).
        layout, conventions, licence, download: for ``cameo-data sources`` and the docs.
    """

    name: str
    summary: str
    layout: str
    conventions: str
    licence: str
    download: str
    options: type[SourceOptions]
    open: Callable[[Path, Any], Source]
    recognise: Callable[[Path], bool]
    is_scene: Callable[[Path], bool] | None = None
