"""``transforms.json`` scenes: nerfstudio, instant-ngp, Blender sets (NeRF), DL3DV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cameo_data import aspects, transforms
from cameo_data.errors import Failure, Reason
from cameo_data.files import FileDefect
from cameo_data.orientation import rule_of_stated_size
from cameo_data.sources import headers, nerfstudio_cameras, nerfstudio_paths, nerfstudio_records
from cameo_data.sources.base import PictureOptions, SourceSpec
from cameo_data.sources.folders import find_scenes, known, looks_like, nothing_found
from cameo_data.sources.listing import natural_key
from cameo_data.sources.nerfstudio_paths import DEPTH_CODECS, Paths
from cameo_data.sources.nerfstudio_records import FILE_NAME, Entry, Transforms
from cameo_data.types import DepthRef, ExifRule, FloatArray, Frame, Scene, Unit

# Millimetres: the default of nerfstudio's option depth_unit_scale_factor.
MILLI = 0.001


class NerfstudioOptions(PictureOptions):
    """What the files leave open."""

    dataset: str = Field("nerfstudio", min_length=1, description="name in samples and messages")
    split: Literal["train", "val", "test"] | None = Field(
        None,
        description="only these frames: of transforms_train.json, or that train_filenames lists",
    )
    images: str | None = Field(
        None,
        pattern=r"^[^/\\]+$",
        description="folder to read images from in place of the stated one, such as images_4; by "
        "itself the largest reduction there is where the stated folder is missing",
    )
    world: Literal["stored", "original"] = Field(
        "stored",
        description="stored: poses as in the file; original: before its applied_transform and "
        "applied_scale, as in the COLMAP model it came from",
    )
    unit: Unit = Field("arbitrary", description="unit of the poses: metre or arbitrary")
    depth: str = Field(
        "depth",
        min_length=1,
        pattern=r"^[^/\\]+$",
        description="folder in the scene of depth maps for entries that name none, called like "
        "their images",
    )
    depth_scale: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="scene units per stored depth unit  [default: of depth that entries name, the "
        "file's integer_depth_scale or depth_unit_scale_factor, else 0.001; of other depth, 0.001 "
        "for .png, else 1]",
    )
    depth_source: str = Field(
        "sensor", min_length=1, description="what the depth is, as it stands in samples"
    )


@dataclass(frozen=True, eq=False)
class _Listed:
    """An entry with its paths, before sizes are known."""

    frame_id: str
    entry: Entry
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
        self._folders, failures = find_scenes(root, options.dataset, nerfstudio_records.is_scene)
        self.failures: Sequence[Failure] = failures
        if not self._folders:
            expected = f"a folder with {FILE_NAME}, or of such folders"
            raise nothing_found(self.dataset, root, "scene", failures, expected, "check the path")

    def scene_ids(self) -> Sequence[str]:
        """Folders below the root, in natural order."""
        return list(self._folders)

    def scene(self, scene_id: str) -> Scene:
        """The scene's frames in natural order of their names; a few headers are read.

        Raises:
            DataError: no readable file, or not one frame of the split asked for.
        """
        folder = known(self._folders, scene_id)
        failures: list[Failure] = []
        refused: list[Any] = []
        listed: dict[str, tuple[_Listed, Transforms]] = {}
        try:
            for file, values in nerfstudio_records.entries(folder, self._options.split):
                frame_id = nerfstudio_records.frame_name(values, len(listed) + len(failures))
                try:
                    if frame_id in listed:
                        raise _duplicate(frame_id, file.name)
                    listed[frame_id] = (self._list(folder, file, frame_id, values), file)
                except FileDefect as defect:
                    refused.append(values)
                    failures.append(defect.at(self.dataset, scene_id, frame_id).failure)
        except FileDefect as defect:
            raise defect.at(self.dataset, scene_id) from None
        frames = []
        sizes = _Sizes(
            folder, [found for found, _ in listed.values()], self._options.exif_orientation
        )
        masked = any(found.mask is not None for found, _ in listed.values())
        for frame_id, (found, file) in listed.items():
            try:
                frames.append(self._frame(found, file, sizes, masked))
            except FileDefect as defect:
                failures.append(defect.at(self.dataset, scene_id, frame_id).failure)
        frames.sort(key=lambda frame: natural_key(frame.frame_id))
        unit = self._options.unit
        named = [path for found, _ in listed.values() for path in found.files]
        named += nerfstudio_paths.named_files(folder, self._options.images, refused)
        split, depth = self._options.split, self._options.depth
        return Scene(
            self.dataset,
            scene_id,
            tuple(frames),
            unit,
            tuple(failures),
            notes=headers.exif_notes(frames),
            unused=nerfstudio_paths.unused(folder, frames, named, split, depth),
        )

    def _list(self, folder: Path, file: Transforms, frame_id: str, values: Any) -> _Listed:
        entry = nerfstudio_records.read_entry(file, values)
        paths = Paths(folder, self._options.images, entry.frame.file_path)
        frame = entry.frame
        mask = None if frame.mask_path is None else paths.mask(frame.mask_path)
        return _Listed(frame_id, entry, paths.image(), self._depth(file, entry, paths), mask)

    def _depth(self, file: Transforms, entry: Entry, paths: Paths) -> DepthRef | None:
        record, options = file.record, self._options
        text = entry.frame.depth_file_path or entry.frame.depth_path
        if text is not None:
            path = paths.depth(text)
            scale = record.depth_unit_scale_factor or record.integer_depth_scale or MILLI
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

    def _frame(self, found: _Listed, file: Transforms, sizes: _Sizes, masked: bool) -> Frame:
        if masked and found.mask is None:
            raise FileDefect(
                Reason.MISSING_FILE, "no mask_path", "one, as other frames have", "add a mask"
            )
        hw = sizes.image(found)
        pose = transforms.invert(self._world_from_cam(found.entry, file))
        camera, distortion = nerfstudio_cameras.camera(found.entry.camera, hw, pose)
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

    def _world_from_cam(self, entry: Entry, file: Transforms) -> FloatArray:
        pose = nerfstudio_cameras.world_from_cam(entry.frame)
        if self._options.world == "original":
            pose[:3, 3] /= file.record.applied_scale
            if file.record.applied_transform is not None:
                applied = nerfstudio_cameras.to_rigid(file.record.applied_transform)
                pose = transforms.invert(applied) @ pose
        return pose


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
            self._hws[key] = headers.common_hw(self._folder, paths, self.rule(found), like_hw)
        return self._hws[key]

    def rule(self, found: _Listed) -> ExifRule:
        """What is done about EXIF orientation: w and h may tell which pixels K is for."""
        return self._exif if _stated_hw(found) is None else rule_of_stated_size(self._exif)

    def depth(self, ref: DepthRef) -> tuple[int, int]:
        """Size of one depth map of the frame's folder; ``read_view`` finds those that differ."""
        key = (ref.path.parent, ref.codec)
        if key not in self._hws:
            self._hws[key] = headers.depth_hw(ref)
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
        Reason.DUPLICATE_ID, f"{frame_id} stands twice", "each image once", f"correct {name}"
    )


def _recognise(root: Path) -> bool:
    return looks_like(root, nerfstudio_records.is_scene)


def _open_source(root: Path, options: Any) -> NerfstudioSource:
    return NerfstudioSource(root, options)


SPEC = SourceSpec(
    name="nerfstudio",
    summary="transforms.json scenes: nerfstudio, instant-ngp, Blender (NeRF), DL3DV",
    layout="SCENE/transforms.json or SCENE/transforms_{train,val,test}.json with images beside; "
    "depth and masks where entries name them (depth_file_path or depth_path: 16-bit PNG, .npy, "
    ".npz, .h5, float TIFF, PFM or OpenEXR; mask_path: white is kept), else depth called like the "
    "images in SCENE/depth/; reduced images in images_2, "
    "images_4, …",
    conventions="camera-to-world, OpenGL axes (x right, y up, looking along −z); K in pixels with "
    "the first pixel's centre at (0.5, 0.5); OpenCV or fisheye distortion; z-depth",
    licence="the scene's own; DL3DV-10K: its terms of use, non-commercial",
    download="docs.nerf.studio/quickstart/existing_dataset.html; huggingface.co/DL3DV",
    options=NerfstudioOptions,
    open=_open_source,
    recognise=_recognise,
    is_scene=nerfstudio_records.is_scene,
)
