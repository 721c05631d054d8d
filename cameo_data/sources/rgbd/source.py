"""RGB-D recordings: colour, depth and poses in the layouts people have, or described by options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import ValidationError

from cameo_data.errors import Reason
from cameo_data.io import files, yaml_files
from cameo_data.io.files import FileDefect
from cameo_data.io.parsing import one_line
from cameo_data.sources.common.file_listing import list_files
from cameo_data.sources.common.scene_folders import (
    FolderSource,
    find_scenes,
    looks_like,
    nothing_found,
)
from cameo_data.sources.rgbd import layouts as rgbd_layouts
from cameo_data.sources.rgbd.frames import read_scene
from cameo_data.sources.rgbd.options import DESCRIPTION_FILE, Recording, RgbdOptions
from cameo_data.sources.source import SourceSpec
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
    folders, failures = find_scenes(
        root,
        options.dataset,
        lambda folder: is_recording(folder, options),
        nested=lambda name: name.lower() not in _parts(options),
    )
    if not folders:
        layouts = "; ".join(f"{x.name}: {x.files}" for x in rgbd_layouts.LAYOUTS.values())
        expected = f"a folder of one of these layouts ({layouts}) or with {DESCRIPTION_FILE}"
        remedy = (
            "describe it by options (-o color='color/*.png' -o depth=… -o poses=… "
            "-o intrinsics=fx,fy,cx,cy)"
        )
        if options.color is not None or options.poses is not None:
            given = " or ".join(p for p in (options.color, options.poses) if p is not None)
            expected = f"folders with {given}, as the options say"
            remedy = "check the path and the options color and poses"
        what = "RGB-D recording"
        raise nothing_found(options.dataset, root, what, failures, expected, remedy)

    def read(folder: Path, scene_id: str) -> Scene:
        inner = [f for f in folders.values() if f != folder and f.is_relative_to(folder)]
        others = [path.relative_to(folder).as_posix() for path in inner]
        recording = describe(folder, options)
        scene = read_scene(folder, recording, options.dataset, scene_id, others)
        return replace(scene, notes=(*scene.notes, *_other_layouts(folder, options)))

    return RgbdSource(options.dataset, folders, failures, read, options)


def is_recording(folder: Path, options: RgbdOptions) -> bool:
    """Whether a folder is one scene: described, recognised, or with the files of options.

    Raises:
        FileDefect, OSError: this cannot be decided, as for a folder that may not be listed.
    """
    if (folder / DESCRIPTION_FILE).is_file():
        return True
    layout = rgbd_layouts.LAYOUTS.get(options.layout)
    if layout is not None and layout.recognise(folder):
        return True
    if options.layout == "auto" and rgbd_layouts.recognise(folder) is not None:
        return True
    given = (options.color, options.poses)
    return any(pattern is not None and list_files(folder, pattern) for pattern in given)


def _other_layouts(folder: Path, options: RgbdOptions) -> list[str]:
    """The note on a folder that looks like several layouts, of which one is read."""
    names = [layout.name for layout in rgbd_layouts.LAYOUTS.values() if layout.recognise(folder)]
    if options.layout != "auto" or (folder / DESCRIPTION_FILE).is_file() or len(names) < 2:
        return []
    others = " or ".join(f"layout={name}" for name in names[1:])
    return [f"read as layout {names[0]}, although it looks like {', '.join(names[1:])} too: "
            f"give {others} to read that"]  # fmt: skip


def _parts(options: RgbdOptions) -> frozenset[str]:
    """Names of folders that are parts of a recording: no other one is looked for in them."""
    given = (options.color, options.depth, options.mask, options.poses)
    stated = {pattern.split("/")[0].lower() for pattern in given if pattern and "/" in pattern}
    return rgbd_layouts.PARTS | stated


def describe(folder: Path, options: RgbdOptions) -> Recording:
    """The keys of one scene: its layout's, overridden by its rgbd.yaml, then by options.

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
        values = yaml_files.parse_yaml(text)
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


def _of_a_known_layout(folder: Path) -> bool:
    return is_recording(folder, RgbdOptions())


def _recognise(root: Path) -> bool:
    return looks_like(root, _of_a_known_layout)


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
    is_scene=_of_a_known_layout,
)
