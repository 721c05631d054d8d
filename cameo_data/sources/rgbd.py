"""RGB-D recordings: colour, depth and poses in the layouts people have, or described by options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from cameo_data import files, recipe_file
from cameo_data.errors import DataError, Reason
from cameo_data.files import FileDefect
from cameo_data.parsing import one_line
from cameo_data.sources import rgbd_layouts
from cameo_data.sources.base import SourceSpec
from cameo_data.sources.folders import FolderSource, find_scenes, looks_like
from cameo_data.sources.listing import list_files, printable
from cameo_data.sources.rgbd_frames import read_scene
from cameo_data.sources.rgbd_options import DESCRIPTION_FILE, Recording, RgbdOptions
from cameo_data.types import Scene


@dataclass(frozen=True, eq=False)
class RgbdSource(FolderSource):
    """Recordings below one folder."""

    options: RgbdOptions


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
    folders, failures = find_scenes(
        root, options.dataset, lambda folder: is_recording(folder, options)
    )
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

    def read(folder: Path, scene_id: str) -> Scene:
        return read_scene(folder, describe(folder, options), options.dataset, scene_id)

    return RgbdSource(options.dataset, folders, failures, read, options)


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
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        problem = _problems(error) if isinstance(error, ValidationError) else one_line(error)
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


def _recognise(root: Path) -> bool:
    """Whether ``root`` or a folder directly in it is a recording."""
    options = RgbdOptions()
    return looks_like(root, lambda folder: is_recording(folder, options), max_depth=1)


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
