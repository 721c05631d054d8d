"""``transforms.json`` scenes: nerfstudio, instant-ngp, Blender sets (NeRF), DL3DV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cameo_data.errors import Failure, Reason
from cameo_data.io import aspects
from cameo_data.io.files import FileDefect
from cameo_data.io.orientation import rule_of_stated_size
from cameo_data.sources.common import image_sizes
from cameo_data.sources.common.file_listing import natural_key
from cameo_data.sources.common.scene_folders import find_scenes, known, looks_like, nothing_found
from cameo_data.sources.common.stated_paths import StatedPaths
from cameo_data.sources.common.unused import of_names
from cameo_data.sources.nerfstudio import (
    files as nerfstudio_files,
)
from cameo_data.sources.nerfstudio import (
    keys as nerfstudio_keys,
)
from cameo_data.sources.nerfstudio import (
    paths as nerfstudio_paths,
)
from cameo_data.sources.nerfstudio import (
    records,
)
from cameo_data.sources.nerfstudio.cameras import Cameras
from cameo_data.sources.nerfstudio.files import NerfstudioLayout
from cameo_data.sources.nerfstudio.options import NerfstudioOptions
from cameo_data.sources.nerfstudio.paths import DEPTH_CODECS, Paths
from cameo_data.sources.nerfstudio.records import FILE_NAME, FrameRecords, Transforms
from cameo_data.sources.source import SourceSpec
from cameo_data.types import DepthRef, ExifRule, Frame, Scene, Unused

# Millimetres: the default of nerfstudio's option depth_unit_scale_factor.
MILLI = 0.001


@dataclass(frozen=True, eq=False)
class _Listed:
    """An entry with its file and paths, before sizes are known."""

    frame_id: str
    entry: FrameRecords
    file: Transforms
    image: Path
    depth: DepthRef | None
    mask: Path | None

    @property
    def files(self) -> list[Path]:
        paths = (self.image, self.mask, None if self.depth is None else self.depth.path)
        return [path for path in paths if path is not None]


class NerfstudioSource:
    """The scenes below a folder.

    Raises:
        DataError: the folder is missing or holds no scene.
    """

    def __init__(self, root: Path, options: NerfstudioOptions) -> None:
        self.dataset = options.dataset
        self._options = options
        self._folders, failures = find_scenes(
            nerfstudio_files.scene_root(root),
            options.dataset,
            lambda folder: nerfstudio_files.is_scene(folder, options.file),
        )
        self.failures: Sequence[Failure] = failures
        if not self._folders:
            expected = f"a folder with {options.file or FILE_NAME}, or of such folders"
            raise nothing_found(self.dataset, root, "scene", failures, expected, "check the path")

    def scene_ids(self) -> Sequence[str]:
        """Folders below the root, in natural order."""
        return list(self._folders)

    def scene(self, scene_id: str) -> Scene:
        """The scene's frames in natural order of their names; a few headers are read.

        Raises:
            DataError: no readable file, or no frame of the chosen split.
        """
        folder = known(self._folders, scene_id)
        failures: list[Failure] = []
        try:
            found = nerfstudio_files.layout(folder, self._options.file, self._options.split)
            reading = _Reading(self._options, folder, found)
            entries = list(nerfstudio_files.entries(folder, found, self._options.split))
        except FileDefect as defect:
            raise defect.at(self.dataset, scene_id) from None
        for number, (file, values) in enumerate(entries):
            try:
                reading.list(file, values)
            except FileDefect as defect:
                reading.refused.append(values)
                label = records.frame_name(values, number)
                failures.append(defect.at(self.dataset, scene_id, label).failure)
        frames = []
        exif_rule = self._options.exif_orientation
        sizes = _Sizes(folder, list(reading.listed.values()), exif_rule)
        cameras = Cameras.of(self._options, [one.entry for one in reading.listed.values()])
        for frame_id, one in reading.listed.items():
            try:
                frames.append(reading.frame(one, sizes, cameras))
            except FileDefect as defect:
                failures.append(defect.at(self.dataset, scene_id, frame_id).failure)
        frames.sort(key=lambda frame: natural_key(frame.frame_id))
        files = list({id(file): file for file, _ in entries}.values())
        notes = [note for file in files if (note := nerfstudio_keys.unread(file)) is not None]
        exif = image_sizes.exif_notes(frames)
        split, depth = self._options.split, self._options.depth
        return Scene(
            self.dataset,
            scene_id,
            tuple(frames),
            nerfstudio_keys.unit(files, self._options.unit),
            tuple(failures),
            notes=(*exif, *reading.notes, *cameras.notes, *notes),
            unused=(
                *reading.unused,
                *nerfstudio_paths.unused(folder, frames, reading.named(), split, depth),
            ),
        )


class _Reading:
    """One scene's entries, as they become frames."""

    def __init__(self, options: NerfstudioOptions, folder: Path, layout: NerfstudioLayout) -> None:
        self._options, self._folder, self._layout = options, folder, layout
        self._paths = StatedPaths(folder, "choose a folder with -o images=FOLDER")
        self._bad: list[str] = []
        self._own: set[str] = set()
        self.listed: dict[str, _Listed] = {}
        self.refused: list[Any] = []  # entries that are not frames, or flagged ones

    def named(self) -> list[Path]:
        """Files that entries name, whatever became of them."""
        found = [path for one in self.listed.values() for path in one.files]
        images = self._options.images or self._layout.images
        return [*found, *nerfstudio_paths.named_files(self._folder, images, self.refused)]

    @property
    def notes(self) -> tuple[str, ...]:
        notes = list(self._paths.notes)
        if others := ", ".join(self._layout.others):
            notes.append(f"{others} not read: -o file=NAME reads another file")
        if self._own:
            keys = ", ".join(sorted(self._own))
            notes.append(
                f"{keys} of frames differ from those at the top of the file: the frames' own are "
                "read (nerfstudio itself reads those at the top)"
            )
        return tuple(notes)

    @property
    def unused(self) -> tuple[Unused, ...]:
        if not self._bad:
            return ()
        what = "frames flagged as is_bad (-o skip_bad=false keeps them)"
        return (of_names(what, len(self._bad), self._bad),)

    def list(self, file: Transforms, values: Any) -> None:
        """Add an entry to ``listed``, or count it as bad.

        Raises:
            FileDefect: a file is missing or appears twice.
        """
        entry = records.read_entry(file, values)
        frame = entry.frame
        self._own.update(nerfstudio_keys.own_intrinsics(file, values))
        if frame.is_bad and self._options.skip_bad:
            self.refused.append(values)
            self._bad.append(records.frame_name(values, len(self._bad)))
            return
        paths = Paths(
            self._folder, self._options.images, frame.file_path, self._paths, self._layout
        )
        frame_id = paths.frame_id
        if frame_id in self.listed:
            raise _duplicate(frame_id, file.name)
        mask = None if frame.mask_path is None else paths.mask(frame.mask_path)
        depth = self._depth(file, entry, paths)
        self.listed[frame_id] = _Listed(frame_id, entry, file, paths.image(), depth, mask)

    def _depth(self, file: Transforms, entry: FrameRecords, paths: Paths) -> DepthRef | None:
        record, options = file.record, self._options
        text = entry.frame.depth_file_path or entry.frame.depth_path
        if text is not None:
            path = paths.depth(text)
            scale = nerfstudio_keys.depth_scale(record, options.depth_scale) or MILLI
            # nerfstudio scales this depth by applied_scale too, which its poses already hold
            unit_scale = record.applied_scale if options.world == "stored" else 1.0
        elif (attached := paths.attached_depth(options.depth)) is not None:
            path = attached
            scale = MILLI if path.suffix.lower() == ".png" else 1.0
            unit_scale = 1.0 if options.world == "stored" else 1 / record.applied_scale
        else:
            return None
        scale = (options.depth_scale or scale) * unit_scale
        codec = DEPTH_CODECS[path.suffix.lower()]
        return DepthRef(path, codec, scale, source=options.depth_source)

    def frame(self, found: _Listed, sizes: _Sizes, cameras: Cameras) -> Frame:
        """The frame of a listed entry.

        Raises:
            FileDefect: no mask where others have one, or no camera.
        """
        masked = any(one.mask is not None for one in self.listed.values())
        if masked and found.mask is None:
            raise FileDefect(
                Reason.MISSING_FILE, "no mask_path", "one, as other frames have", "add a mask"
            )
        hw = sizes.image(found)
        pose = cameras.cam_from_world(found.entry, found.file)
        camera, distortion = cameras.camera(found.entry.camera, hw, pose)
        depth = found.depth
        if depth is not None and (depth_hw := sizes.depth(depth)) != hw:
            aspects.check_depth(depth.path.name, depth_hw, hw)
            depth = replace(depth, hw=depth_hw)
        return Frame(
            frame_id=found.frame_id,
            camera=camera,
            image_path=found.image,
            depth=depth,
            mask_path=found.mask,
            distortion=distortion,
            exif_orientation=sizes.rule(found),
        )


class _Sizes:
    """Sizes of images and depth maps, from a few headers of each folder."""

    def __init__(self, folder: Path, listed: Sequence[_Listed], exif: ExifRule) -> None:
        self._folder, self._exif = folder, exif
        self._alike: dict[tuple[Any, ...], list[Path]] = {}
        for found in listed:
            self._alike.setdefault(self._key(found), []).append(found.image)
        self._hws: dict[tuple[Any, ...], tuple[int, int]] = {}

    def image(self, found: _Listed) -> tuple[int, int]:
        """Size of most images of the frame's folder that are stated to be alike."""
        key = self._key(found)
        if key not in self._hws:
            paths, like_hw = self._alike[key], _stated_hw(found)
            self._hws[key] = image_sizes.common_hw(self._folder, paths, self.rule(found), like_hw)
        return self._hws[key]

    def rule(self, found: _Listed) -> ExifRule:
        """What is done about EXIF orientation: w and h may tell which pixels K is for."""
        return self._exif if _stated_hw(found) is None else rule_of_stated_size(self._exif)

    def depth(self, ref: DepthRef) -> tuple[int, int]:
        """Size of one depth map of the frame's folder; ``read_view`` finds those that differ."""
        key = (ref.path.parent, ref.codec)
        if key not in self._hws:
            self._hws[key] = image_sizes.depth_hw(ref)
        return self._hws[key]

    def _key(self, found: _Listed) -> tuple[Any, ...]:
        return (found.image.parent, found.entry.camera.w, found.entry.camera.h)


def _stated_hw(found: _Listed) -> tuple[int, int] | None:
    """The size that the entry's intrinsics are for."""
    width, height = found.entry.camera.w, found.entry.camera.h
    if width is None or height is None:
        return None
    return max(1, round(height)), max(1, round(width))


def _duplicate(frame_id: str, name: str) -> FileDefect:
    return FileDefect(
        Reason.DUPLICATE_ID, f"{frame_id} appears twice", "each image once", f"correct {name}"
    )


def _recognise(root: Path) -> bool:
    """Whether there is a scene below that is not a ScanNet++ scene with a model of its own."""

    def ours(folder: Path) -> bool:
        return nerfstudio_files.is_scene(folder) and not nerfstudio_files.belongs_to_scannetpp(
            folder
        )

    return looks_like(nerfstudio_files.scene_root(root), ours)


def _open_source(root: Path, options: Any) -> NerfstudioSource:
    return NerfstudioSource(root, options)


SPEC = SourceSpec(
    name="nerfstudio",
    summary="transforms.json scenes: nerfstudio, instant-ngp, Blender (NeRF), DL3DV",
    layout="SCENE/transforms.json or SCENE/transforms_{train,val,test}.json with images beside, or "
    "ScanNet++'s SCENE/dslr/nerfstudio/transforms_undistorted.json with undistorted_images; "
    "depth and masks where entries name them (depth_file_path or depth_path: 16-bit PNG, .npy, "
    ".npz, .h5, float TIFF, PFM or OpenEXR; mask_path: white is kept), else depth called like the "
    "images in SCENE/depth/; reduced images in images_2, "
    "images_4, …",
    conventions="camera-to-world, OpenGL axes (x right, y up, looking along −z) unless the file's "
    "camera_convention says opencv; K in pixels with "
    "the first pixel's centre at (0.5, 0.5); OpenCV or fisheye distortion; z-depth",
    licence="the scene's own; DL3DV-10K: its terms of use, non-commercial",
    download="docs.nerf.studio/quickstart/existing_dataset.html; huggingface.co/DL3DV",
    options=NerfstudioOptions,
    open=_open_source,
    recognise=_recognise,
    is_scene=nerfstudio_files.is_scene,
)
