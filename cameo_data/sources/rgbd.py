"""RGB-D recordings: colour, depth and poses in the layouts people have, or described by options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cameo_data import files, recipe_file
from cameo_data.errors import DataError, Failure, Reason
from cameo_data.files import FileDefect
from cameo_data.sources import rgbd_layouts
from cameo_data.sources.base import SourceSpec
from cameo_data.sources.listing import is_text, list_files, natural_key, printable
from cameo_data.sources.rgbd_frames import read_scene
from cameo_data.sources.rgbd_options import Recording, RgbdOptions
from cameo_data.types import Scene

DESCRIPTION_FILE = "rgbd.yaml"
# Scenes lie at most so deep below the root: collection / scene / sequence.
_MAX_DEPTH = 3


@dataclass(frozen=True, eq=False)
class RgbdSource:
    """Recordings below one folder; ``folders`` are their folders by scene."""

    dataset: str
    options: RgbdOptions
    folders: dict[str, Path]
    failures: tuple[Failure, ...]

    def scene_ids(self) -> Sequence[str]:
        return list(self.folders)

    def scene(self, scene_id: str) -> Scene:
        if scene_id not in self.folders:
            raise ValueError(f"unknown scene {scene_id!r}; expected one of {list(self.folders)}")
        folder = self.folders[scene_id]
        try:
            recording = describe(folder, self.options)
        except FileDefect as defect:
            raise defect.at(self.dataset, scene_id) from None
        return read_scene(folder, recording, self.dataset, scene_id)


def open_rgbd(root: Path, options: RgbdOptions) -> RgbdSource:
    """The recordings in ``root``, which is one scene or a folder of scenes.

    Raises:
        DataError: no such folder, or no recording in it.
    """
    if not root.is_dir():
        raise DataError(
            Reason.MISSING_FILE,
            dataset=options.dataset,
            found=f"{printable(str(root))} is no folder",
            expected="a recording or a folder of recordings",
            remedy="check the path",
        )
    if is_recording(root, options):
        name = root.resolve().name
        return RgbdSource(options.dataset, options, {printable(name) or "scene": root}, ())
    folders: dict[str, Path] = {}
    failures: list[Failure] = []
    _search(root, root, options, folders, failures)
    if not folders:
        layouts = "; ".join(f"{x.name}: {x.files}" for x in rgbd_layouts.LAYOUTS.values())
        raise DataError(
            Reason.MISSING_FILE,
            dataset=options.dataset,
            found=f"no RGB-D recording recognised in {printable(str(root))}",
            expected=f"a folder of one of these layouts ({layouts}) or with {DESCRIPTION_FILE}",
            remedy="describe it by options (-o color='color/*.png' -o depth=… -o poses=… "
            "-o intrinsics=fx,fy,cx,cy)",
        )
    ordered = dict(sorted(folders.items(), key=lambda item: natural_key(item[0])))
    return RgbdSource(options.dataset, options, ordered, tuple(failures))


def is_recording(folder: Path, options: RgbdOptions) -> bool:
    """Whether a folder is one scene: described, recognised, or having the files of options."""
    try:
        if (folder / DESCRIPTION_FILE).is_file():
            return True
        layout = rgbd_layouts.LAYOUTS.get(options.layout)
        if layout is not None and layout.recognise(folder):
            return True
        if options.layout == "auto" and rgbd_layouts.recognise(folder) is not None:
            return True
        given = (options.color, options.poses)
        return any(pattern is not None and list_files(folder, pattern) for pattern in given)
    except (OSError, FileDefect):
        return False


def describe(folder: Path, options: RgbdOptions) -> Recording:
    """What is known of one scene: its layout's keys, over them its rgbd.yaml, over them options.

    Raises:
        FileDefect: a broken rgbd.yaml, or keys that nothing gives.
    """
    described = _read_description(folder)
    name = options.layout if options.layout != "auto" else described.layout
    layout = rgbd_layouts.LAYOUTS.get(name)
    if name == "auto":
        layout = rgbd_layouts.recognise(folder)
    keys = {} if layout is None else layout.keys(folder)
    try:
        return Recording.model_validate({**keys, **described.given(), **options.given()})
    except ValidationError as error:
        raise FileDefect(
            Reason.BAD_METADATA,
            f"recording of layout {layout.name if layout else 'custom'}: {_problems(error)}",
            "all keys known",
            f"give them as options (-o key=value) or in {DESCRIPTION_FILE}",
        ) from None


def _read_description(folder: Path) -> RgbdOptions:
    path = folder / DESCRIPTION_FILE
    if not path.exists():
        return RgbdOptions()
    text = files.read_text(files.inside(folder, path))
    try:
        values = recipe_file.parse_yaml(text)
        if not isinstance(values, dict):
            raise TypeError("expected key: value lines")
        if "dataset" in values:
            raise TypeError("dataset names all scenes: give it as an option")
        checked: RgbdOptions = RgbdOptions.model_validate(values)
    except (yaml.YAMLError, ValidationError, TypeError, RecursionError) as error:
        problem = _problems(error) if isinstance(error, ValidationError) else str(error)
        raise FileDefect(
            Reason.BAD_METADATA,
            f"{DESCRIPTION_FILE}: {problem}",
            "keys of the source rgbd",
            "correct it; docs/datasets/rgbd.md lists the keys",
        ) from None
    return checked


def _problems(error: ValidationError) -> str:
    found = []
    for item in error.errors(include_url=False):
        message = item["msg"].removeprefix("Value error, ").lower()
        key = ".".join(str(part) for part in item["loc"])
        given = "" if item["type"] == "missing" else f" = {item['input']!r}"
        found.append(f"{key}{given}: {message}")
    return ", ".join(found)


def _search(
    root: Path,
    folder: Path,
    options: RgbdOptions,
    folders: dict[str, Path],
    failures: list[Failure],
) -> None:
    """Add the recordings below ``folder``; links to folders are not followed."""
    try:
        children = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        scene_id = printable(folder.relative_to(root).as_posix())
        found, remedy = f"folder cannot be listed ({error.strerror})", "check its permissions"
        failures.append(_left_out(options.dataset, scene_id, Reason.MISSING_FILE, found, remedy))
        return
    for child in children:
        if child.name.startswith("."):
            continue
        scene_id = printable(child.relative_to(root).as_posix())
        if child.is_symlink():
            # a link within the root leads to what is found by itself
            if not child.resolve().is_relative_to(root.resolve()):
                found, remedy = "folder is a link out of the root", "give the folder that it is in"
                failures.append(
                    _left_out(options.dataset, scene_id, Reason.BAD_NAME, found, remedy)
                )
        elif is_recording(child, options):
            if is_text(child.name):
                folders[scene_id] = child
            else:
                found, remedy = "name with control characters or undecodable bytes", "rename it"
                failures.append(
                    _left_out(options.dataset, scene_id, Reason.BAD_NAME, found, remedy)
                )
        elif len(child.relative_to(root).parts) < _MAX_DEPTH:
            _search(root, child, options, folders, failures)


def _left_out(dataset: str, scene_id: str, reason: Reason, found: str, remedy: str) -> Failure:
    return Failure(reason, dataset, scene_id, None, found, "a recording's folder", remedy)


def _recognise(root: Path) -> bool:
    """Whether ``root`` or a folder directly in it is a recording."""
    options: Any = RgbdOptions()
    try:
        candidates = [root, *(path for path in root.iterdir() if path.is_dir())]
    except OSError:
        return False
    return any(is_recording(folder, options) for folder in candidates)


SPEC = SourceSpec(
    name="rgbd",
    summary="RGB-D recordings: 7-Scenes, TUM, ScanNet exports, Open3D, or described by options",
    layout="; ".join(f"{x.name}: {x.files}" for x in rgbd_layouts.LAYOUTS.values()),
    conventions="camera-to-world poses, OpenCV axes, integer pixel centres in K and metres, unless "
    "options say otherwise; distorted colour is undistorted, depth registered to colour",
    licence="as the recording's: 7-Scenes MSR-LA (non-commercial), TUM CC BY 4.0, ScanNet terms of "
    "use, Redwood public domain",
    download="microsoft.com/research/project/rgb-d-dataset-7-scenes, "
    "cvg.cit.tum.de/data/datasets/rgbd-dataset, scan-net.org, redwood-data.org",
    options=RgbdOptions,
    open=open_rgbd,
    recognise=_recognise,
)
