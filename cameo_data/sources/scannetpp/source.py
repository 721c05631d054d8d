"""ScanNet++: DSLR images (fisheye) and iPhone frames with COLMAP's poses in metres.

Layout after ``common/scene_release.py`` of the publisher's toolkit. A scene's ``colmap`` folder is
a COLMAP text model, with COLMAP's conventions (``colmap/model.py``) and one camera:
``OPENCV_FISHEYE`` for the DSLR, ``OPENCV`` for the iPhone.

Depth is not part of the download. The toolkit renders it from the laser scan (``common/render.py``,
z in millimetres, in the distorted image). Its renderer takes the top-left pixel's centre for (0, 0)
(``convertIntrinsicToProjection`` in ``renderpy``: cx + 0.5) and is given COLMAP's K as it is, so
rendered depth lies half a pixel right of and below the image. The iPhone's own depth
(``iphone/prepare_iphone_data.py``, 256×192, millimetres) covers the whole frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cameo_data.errors import Failure, Reason
from cameo_data.geometry import undistortion
from cameo_data.geometry.sparse_matches import Tracks
from cameo_data.io import depth_files, files
from cameo_data.io.files import FileDefect
from cameo_data.sources.colmap.model import ModelImage, read_model
from cameo_data.sources.common import image_sizes
from cameo_data.sources.common.file_listing import is_text, printable
from cameo_data.sources.common.scene_folders import (
    FolderSource,
    find_scenes,
    looks_like,
    nothing_found,
)
from cameo_data.sources.scannetpp.choice import ScannetppOptions, image_filter, scenes_of_split
from cameo_data.sources.scannetpp.unused import FOLDERS, png_of, unused
from cameo_data.sources.source import SourceSpec
from cameo_data.types import Camera, DepthCodec, DepthRef, Frame, Scene

DATASET = "scannetpp"


def open_scannetpp(root: Path, options: ScannetppOptions) -> FolderSource:
    """The scenes in ``root``, which is the download (data/, splits/), its data/, or one scene.

    Raises:
        DataError: no such folder, no scene in it, or a split that it does not have.
    """
    folders, failures = find_scenes(root, DATASET, lambda folder: _is_scene(folder, options.device))
    if not folders:
        what = f"scene with {options.device}/colmap"
        expected = "data/SCENE/dslr/colmap/{cameras,images,points3D}.txt"
        remedy = "check the path and the option device"
        raise nothing_found(DATASET, root, what, failures, expected, remedy)
    # data/SCENE: the scene's id is the last name
    named = {name.rpartition("/")[2]: folder for name, folder in folders.items()}

    def read(folder: Path, scene_id: str) -> Scene:
        return _Reader(folder, options, scene_id).scene()

    if options.split is None:
        return FolderSource(DATASET, named, failures, read)
    try:
        wanted = scenes_of_split(root, options.split)
    except FileDefect as defect:
        raise defect.at(DATASET, None) from None
    missing = [
        Failure(
            reason=Reason.MISSING_FILE,
            dataset=DATASET,
            scene_id=scene_id,
            frame_id=None,
            found=f"scene of split {options.split} is not there",
            expected="its folder",
            remedy="download it, or leave the split out",
        )
        for scene_id in wanted
        if scene_id not in named
    ]
    chosen = {scene_id: named[scene_id] for scene_id in wanted if scene_id in named}
    return FolderSource(DATASET, chosen, (*failures, *missing), read)


@dataclass(frozen=True, eq=False)
class _Reader:
    """One scene's files of one device."""

    folder: Path
    options: ScannetppOptions
    scene_id: str

    @property
    def device(self) -> Path:
        return self.folder / self.options.device

    def scene(self) -> Scene:
        """The scene's frames; of their files only existence and the depth's sizes are read.

        Raises:
            DataError: a model or list is missing or damaged.
        """
        try:
            model = read_model(files.inside(self.folder, self.device / "colmap"))
            chosen = image_filter(
                self.folder, self.options.device, self.options.skip_bad, self.options.frames
            )
            images = [image for image in model.images if chosen(Path(image.name).name)]
            depth_folder = self._depth_folder(images)
            tracks = model.usable_tracks() if depth_folder is None else None
        except FileDefect as defect:
            raise defect.at(DATASET, self.scene_id) from None
        frames: dict[str, Frame] = {}
        failures: list[Failure] = []
        for image in images:
            try:
                frame = self._frame(image, depth_folder)
                if frame.frame_id in frames:
                    raise FileDefect(
                        Reason.DUPLICATE_ID,
                        f"frame {frame.frame_id} appears twice in the model",
                        "each once",
                        "download the model again",
                    )
                frames[frame.frame_id] = frame
            except FileDefect as defect:
                name = printable(image.name)
                failures.append(defect.at(DATASET, self.scene_id, name).failure)
        # the model's tracks go by the names of images, frames by what these have in common
        matches = None
        if tracks is not None:
            spelled = {Path(image.name).stem: image.name for image in images}
            seen = tracks.observations
            matches = Tracks(tracks.paths, lambda frame_id: seen(spelled[frame_id]))
        found = tuple(frames.values())
        notes = model.notes if depth_folder is None else model.notes_without_tracks()
        return Scene(
            DATASET,
            self.scene_id,
            found,
            "metre",
            tuple(failures),
            matches,
            notes=(*notes, *image_sizes.exif_notes(found)),
            unused=unused(self.folder, self.options.device, model.images, images, depth_folder),
        )

    def _depth_folder(self, images: Sequence[ModelImage]) -> Path | None:
        """Where depth is; for ``auto``, the first folder that holds any of it."""
        rendered = self.folder
        if self.options.rendered is not None:
            rendered = Path(self.options.rendered) / self.folder.name
        folders = {
            "rendered": rendered / self.options.device / "render_depth",
            "lidar": self.device / "depth",
        }
        if self.options.device == "dslr":
            del folders["lidar"]
        if self.options.depth == "none":
            return None
        if self.options.depth != "auto":
            folders = {k: path for k, path in folders.items() if k == self.options.depth}
        for folder in folders.values():
            if any((folder / png_of(image)).exists() for image in images):
                return folder
        if self.options.depth == "auto":
            return None
        raise FileDefect(
            Reason.NO_DEPTH,
            f"{self.options.device} has no {self.options.depth} depth",
            "a folder of PNG files, one per image",
            "render it with the toolkit (python -m common.render), or choose another -o depth",
        )

    def _frame(self, image: ModelImage, depth_folder: Path | None) -> Frame:
        if not is_text(image.name):
            raise FileDefect(
                Reason.BAD_NAME, "a name with control characters", "printable text", "rename it"
            )
        image_folder, mask_folder = (self.device / name for name in FOLDERS[self.options.device])
        path = self._checked(image_folder / Path(image.name).name, Reason.UNREADABLE_IMAGE)
        mask = mask_folder / png_of(image)
        lens = None if undistortion.is_pinhole(image.lens) else image.lens
        K, hw = undistortion.pinhole_of(image.lens, self.options.focal_scale if lens else 1.0)
        return Frame(
            frame_id=Path(image.name).stem,
            camera=Camera(K, hw, image.pose()),
            image_path=path,
            depth=None if depth_folder is None else self._depth(depth_folder, image),
            mask_path=self._checked(mask, Reason.UNREADABLE_IMAGE) if mask.exists() else None,
            distortion=lens,
            exif_orientation=self.options.exif_orientation,
        )

    def _depth(self, folder: Path, image: ModelImage) -> DepthRef:
        path = folder / png_of(image)
        if not path.exists():
            raise FileDefect(
                Reason.NO_DEPTH,
                f"there is no {folder.name}/{path.name}",
                "depth of each image",
                "render it, or leave the frame out",
            )
        inside = self.folder if path.is_relative_to(self.folder) else folder
        files.checked_size(
            files.inside(inside, path), files.MAX_FRAME_BYTES, Reason.UNREADABLE_DEPTH
        )
        if folder.name == "depth":
            return DepthRef(
                path,
                DepthCodec.UINT16,
                0.001,
                hw=depth_files.depth_hw(path, DepthCodec.UINT16),
                source="lidar",
            )
        hw = image.lens.hw
        return DepthRef(path, DepthCodec.UINT16, 0.001, hw=hw, source="rendered", shift_px=0.5)

    def _checked(self, path: Path, unreadable: Reason) -> Path:
        files.checked_size(files.inside(self.folder, path), files.MAX_FRAME_BYTES, unreadable)
        return path


def _is_scene(folder: Path, device: str) -> bool:
    return (folder / device / "colmap" / "cameras.txt").is_file()


def _of_any_device(folder: Path) -> bool:
    return any(_is_scene(folder, device) for device in FOLDERS)


def _recognise(root: Path) -> bool:
    return looks_like(root, _of_any_device)


def _open(root: Path, options: Any) -> FolderSource:
    return open_scannetpp(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="ScanNet++: DSLR fisheye images or iPhone frames; depth rendered by its toolkit",
    layout="data/SCENE/dslr/{colmap/*.txt,resized_images/,resized_anon_masks/,render_depth/}, "
    "data/SCENE/iphone/{colmap/*.txt,rgb/,rgb_masks/,depth/,render_depth/}, splits/*.txt",
    conventions="COLMAP: cam_from_world, OpenCV axes, first pixel's centre at (0.5, 0.5); metres; "
    "OPENCV_FISHEYE and OPENCV cameras are undistorted; z-depth in millimetres",
    licence="ScanNet++ terms of use (non-commercial, on application)",
    download="https://kaldir.vc.in.tum.de/scannetpp",
    options=ScannetppOptions,
    open=_open,
    recognise=_recognise,
    is_scene=_of_any_device,
)
