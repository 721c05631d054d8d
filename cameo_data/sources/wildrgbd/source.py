"""WildRGB-D: phone videos with LiDAR depth round objects of 46 categories.

Layout (github.com/wildrgbd/wildrgbd, ``README.md`` and ``wildrgbd_generate_point_cloud.py``)::

    apple/types.json                       single, multi or hand for each scene
    apple/nvs_list.json                    {"train": ["scenes/scene_000", …], "val": […]}
    apple/camera_eval_list.json            the same for camera poses
    apple/scenes/scene_000/metadata        JSON: w, h, and K column by column
    apple/scenes/scene_000/cam_poses.txt   frame number, 4×4 camera-to-world row by row, OpenCV axes
    apple/scenes/scene_000/rgb/00000.png
    apple/scenes/scene_000/depth/00000.png   millimetres, 16 bits
    apple/scenes/scene_000/masks/00000.png   foreground
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.scene_folders import known, subfolders
from cameo_data.sources.source import PictureOptions, SourceSpec
from cameo_data.sources.wildrgbd.frames import METADATA, POSES, malformed, read_json, read_scene
from cameo_data.types import Scene

DATASET = "wildrgbd"
SCENES = "scenes"
_LISTS = {"nvs": "nvs_list.json", "camera_eval": "camera_eval_list.json"}


class WildRgbdOptions(PictureOptions):
    """Options: which scenes, and where pixels are counted from."""

    split: Literal["train", "val"] | None = Field(
        None, description="train or val, as split_of lists them; none means all scenes"
    )
    split_of: Literal["nvs", "camera_eval"] = Field(
        "nvs", description="the task whose split it is: nvs or camera_eval"
    )
    kind: Literal["single", "multi", "hand"] | None = Field(
        None, description="only scenes of one object, of several, or of one held in a hand"
    )
    masks: bool = Field(True, description="read the foreground masks; every frame then needs one")
    pixel_center: Literal["half", "integer"] = Field(
        "half",
        description="where the first pixel's centre is in K: half (0.5, 0.5), as in Apple's "
        "documentation of intrinsicMatrix, or integer (0, 0)",
    )


class WildRgbdSource:
    """The scenes of a dataset's folder, of one category, or the one scene that the folder is.

    Attributes:
        failures: categories whose lists cannot be read.
        notes: what was not selected, one line each.

    Raises:
        DataError: no such folder, no scene in it, or none is left.
    """

    dataset = DATASET

    def __init__(self, root: Path, options: WildRgbdOptions) -> None:
        self._options = options
        self._folders: dict[str, Path] = {}
        failures: list[Failure] = []
        left_out: Counter[str] = Counter()
        if _is_scene(root):
            self._folders[printable(root.resolve().name)] = root
        if not self._folders:
            failures += subfolders(root, DATASET)[1]  # categories on a disk that is not mounted
        for category in [] if self._folders else _categories(root):
            try:
                names, lost = subfolders(category / SCENES, DATASET, f"{category.name}/")
                failures += lost
                for name, why in _scenes(category, [path.name for path in names], options):
                    if why is None:
                        self._folders[f"{category.name}/{name}"] = category / SCENES / name
                    else:
                        left_out[why] += 1
            except FileDefect as defect:
                failures.append(defect.at(DATASET, printable(category.name)).failure)
        self.failures: Sequence[Failure] = tuple(failures)
        self.notes: Sequence[str] = tuple(f"scenes {why}: {n}" for why, n in left_out.items())
        if not self._folders:
            raise _no_scene(root, failures, self.notes)

    def scene_ids(self) -> Sequence[str]:
        """``CATEGORY/SCENE``."""
        return list(self._folders)

    def scene(self, scene_id: str) -> Scene:
        folder = known(self._folders, scene_id)
        return read_scene(
            DATASET,
            scene_id,
            folder,
            self._options.pixel_center,
            self._options.masks,
            self._options.exif_orientation,
        )


def _is_scene(folder: Path) -> bool:
    try:
        return all((folder / name).is_file() for name in (METADATA, POSES))
    except OSError:
        return False


def _categories(root: Path) -> list[Path]:
    """Folders that hold a folder ``scenes``: the root itself, or those directly in it."""
    try:
        if (root / SCENES).is_dir():
            return [root.resolve()]
        return sorted(path for path in root.iterdir() if (path / SCENES).is_dir())
    except OSError:
        return []


def _scenes(
    category: Path, names: Sequence[str], options: WildRgbdOptions
) -> Iterator[tuple[str, str | None]]:
    """The category's scenes, and why one is left out.

    Raises:
        FileDefect: a list that decides it is missing or malformed.
    """
    listed = _split(category, options)
    kinds = _kinds(category) if options.kind is not None else {}
    for name in names:
        if listed is not None and name not in listed:
            yield name, f"not in the split {options.split} of {_LISTS[options.split_of]}"
        elif options.kind is not None and kinds.get(name) != options.kind:
            yield name, f"not of kind {options.kind}"
        else:
            yield name, None


def _split(category: Path, options: WildRgbdOptions) -> set[str] | None:
    if options.split is None:
        return None
    file = _LISTS[options.split_of]
    values = read_json(category, file)
    names = values.get(options.split)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise malformed(file, f"no list called {options.split}", '{"train": […], "val": […]}')
    return {name.removeprefix(f"{SCENES}/") for name in names}


def _kinds(category: Path) -> dict[str, str]:
    """single, multi or hand by scene."""
    values = read_json(category, "types.json")
    if not all(isinstance(kind, str) for kind in values.values()):
        raise malformed("types.json", "kinds that are not words", "single, multi or hand")
    return {name.removeprefix(f"{SCENES}/"): kind for name, kind in values.items()}


def _no_scene(root: Path, failures: Sequence[Failure], notes: Sequence[str]) -> DataError:
    where = printable(str(root))
    found = f"no scene in {where}" if root.is_dir() else f"{where} is not a folder"
    if failures:
        found = failures[0].message
    elif notes:
        found = f"no scene is left in {where} ({'; '.join(notes)})"
    return DataError(
        failures[0].reason if failures else Reason.MISSING_FILE,
        dataset=DATASET,
        found=found,
        expected=f"CATEGORY/{SCENES}/SCENE with {METADATA} and {POSES}",
        remedy="give the folder that the zip files were unpacked in",
    )


def _recognise(root: Path) -> bool:
    if _is_scene(root):
        return True
    for category in _categories(root):
        try:
            return any(_is_scene(scene) for scene in (category / SCENES).iterdir())
        except OSError:
            continue
    return False


def _open(root: Path, options: Any) -> WildRgbdSource:
    return WildRgbdSource(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="WildRGB-D: phone videos with LiDAR depth round objects of 46 categories",
    layout=f"CATEGORY/{SCENES}/SCENE/{{rgb,depth,masks}}/00000.png, …/{METADATA}, …/{POSES}, "
    "CATEGORY/{types,nvs_list,camera_eval_list}.json",
    conventions="camera-to-world poses, OpenCV axes, depth in millimetres, K column by column; all "
    "in metres afterwards",
    licence="MIT, as the repository states it",
    download="github.com/wildrgbd/wildrgbd (download.py; 3.4 TB packed, 4 TB unpacked)",
    options=WildRgbdOptions,
    open=_open,
    recognise=_recognise,
)
