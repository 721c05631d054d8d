"""Which part of ScanNet++ to read: options, splits, flagged images, the benchmark's images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cameo_data.errors import Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.source import ExifOption, PictureOptions, exif_field

M = TypeVar("M", bound=BaseModel)


class ScannetppOptions(PictureOptions):
    """Which part of the dataset to read."""

    device: Literal["dslr", "iphone"] = Field("dslr", description="dslr or iphone")
    split: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]+$", description="list of scenes: splits/NAME.txt"
    )
    frames: Literal["all", "train", "test"] = Field(
        "all", description="DSLR images of the novel-view benchmark's split"
    )
    skip_bad: bool = Field(
        True, description="leave out images that the publisher flags as blurred (is_bad)"
    )
    depth: Literal["auto", "rendered", "lidar", "none"] = Field(
        "auto",
        description="rendered by the toolkit, the iPhone's lidar, or none (tracks instead); auto "
        "takes the first of them that is there",
    )
    rendered: str | None = Field(
        None, description="output_dir of the toolkit's renderer, if it is not the data folder"
    )
    focal_scale: float = Field(
        1.0,
        ge=0.1,
        le=10,
        description="focal length of the undistorted images, relative to the stored ones': below "
        "1 keeps more of the fisheye's view",
    )
    # COLMAP ignores the tag, so that pictures of one camera share intrinsics (docs/conventions.md)
    exif_orientation: ExifOption = exif_field("stored")


class _Listed(BaseModel):
    """A frame in ``nerfstudio/transforms.json``; poses are read from COLMAP's model instead."""

    model_config = ConfigDict(extra="ignore", strict=True)

    file_path: str
    is_bad: bool = False


class _Transforms(BaseModel):
    """What is read of ``nerfstudio/transforms.json``."""

    model_config = ConfigDict(extra="ignore", strict=True)

    frames: list[_Listed]
    test_frames: list[_Listed] = Field(default_factory=list)


class _TrainTest(BaseModel):
    """``dslr/train_test_lists.json``."""

    model_config = ConfigDict(extra="ignore", strict=True)

    train: list[str]
    test: list[str]


def scenes_of_split(root: Path, split: str) -> list[str]:
    """The scenes in ``splits/NAME.txt`` of a download, of which ``root`` may be the data folder.

    Raises:
        FileDefect: there is no such list.
    """
    for folder in (root, root.resolve().parent):
        path = folder / "splits" / f"{split}.txt"
        if path.is_file():
            return sorted(set(files.read_text(path).split()))
    raise FileDefect(
        Reason.MISSING_FILE,
        f"there is no splits/{split}.txt",
        "a list of scenes as downloaded",
        "check the split's name",
    )


def image_filter(
    folder: Path, device: str, skip_bad: bool, frames: Literal["all", "train", "test"]
) -> Callable[[str], bool]:
    """Whether an image of a scene, by its file's name, is one of those selected.

    Only the DSLR's images are flagged.

    Raises:
        FileDefect: a list that is needed is missing or not as downloaded.
    """
    bad: set[str] = set()
    wanted: set[str] | None = None
    if skip_bad and device == "dslr":
        listed = _read_json(folder, folder / device / "nerfstudio/transforms.json", _Transforms)
        found = (*listed.frames, *listed.test_frames)
        bad = {Path(frame.file_path).name for frame in found if frame.is_bad}
    if frames != "all":
        lists = _read_json(folder, folder / device / "train_test_lists.json", _TrainTest)
        wanted = set(lists.train if frames == "train" else lists.test)
    return lambda name: name not in bad and (wanted is None or name in wanted)


def _read_json(folder: Path, path: Path, model: type[M]) -> M:
    text = files.read_text(files.inside(folder, path), files.MAX_TEXT_BYTES)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{path.name} at {where or 'its beginning'}: {first['msg'].lower()}",
            "the file as downloaded",
            "download it again",
        ) from None
