"""MegaDepth: internet photographs of landmarks with COLMAP's cameras and multi-view depth.

Three forms are in use; all share the depth maps of ``MegaDepth_v1`` (HDF5, z-depth in the model's
own unit; maps with values below zero only order foreground and background):

- ``sfm``, as the authors publish it: ``MegaDepth_v1_SfM/SCENE/sparse/manhattan/N`` holds models
  of the *original* photographs, ``MegaDepth_v1/SCENE/denseN/{imgs,depths}`` what COLMAP made of
  them. The cameras of the latter were not published; they are COLMAP's undistortion of the former,
  scaled to the images' size, and any other size is refused.
- ``undistorted``, D2-Net's: ``Undistorted_SfM/SCENE/{images,sparse-txt}``, its cameras pinholes.
- ``scene_info``, LoFTR's and D2-Net's index: NumPy archives with paths, K and poses (see
  ``info``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Literal

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io import files
from cameo_data.io.files import FileDefect
from cameo_data.sources.common import image_sizes
from cameo_data.sources.common.file_listing import list_files
from cameo_data.sources.common.scene_folders import known, read_scene_list, subfolders
from cameo_data.sources.common.unused import frame_files, relative, unused_files
from cameo_data.sources.megadepth import info
from cameo_data.sources.megadepth import models as megadepth_models
from cameo_data.sources.source import ExifOption, PictureOptions, SourceSpec, exif_field
from cameo_data.types import Frame, Scene, Unused

DATASET = "megadepth"
# The archive unpacks to the authors' own path.
DEPTH_FOLDERS = ("phoenix/S6/zl548/MegaDepth_v1", "MegaDepth_v1")
SFM, UNDISTORTED = "MegaDepth_v1_SfM", "Undistorted_SfM"

FoundFrame = tuple[str, Callable[[], Frame]]


class MegaDepthOptions(PictureOptions):
    """Options: which form, and which scenes.

    Attributes:
        layout: ``auto`` takes undistorted or sfm, whichever folder is there first in this order.
        scene_info: pattern, below the root, of the archives of an index, each a scene.
        split: only the scenes (folders, or archives without their ending) that ``NAME.txt`` in the
            root lists, e.g. D2-Net's ``train_scenes``.
    """

    layout: Literal["auto", "sfm", "undistorted", "scene_info"] = "auto"
    scene_info: str | None = None
    split: str | None = None
    # its cameras are COLMAP's, which ignores the tag
    exif_orientation: ExifOption = exif_field("stored")


@dataclass(frozen=True, eq=False)
class MegaDepthSource:
    """Reconstructions below one folder; ``scenes`` says where each one's model is."""

    root: Path
    layout: str
    scenes: dict[str, Path]
    exif: ExifOption
    failures: tuple[Failure, ...] = ()
    dataset: str = DATASET

    def scene_ids(self) -> Sequence[str]:
        return list(self.scenes)

    def scene(self, scene_id: str) -> Scene:
        known(self.scenes, scene_id)
        frames: list[Frame] = []
        failures: list[Failure] = []
        try:
            found, unused = self._found(scene_id)
            for frame_id, read in found:
                try:
                    frames.append(read())
                except FileDefect as defect:
                    failures.append(defect.at(DATASET, scene_id, frame_id).failure)
        except FileDefect as defect:
            raise defect.at(DATASET, scene_id) from None
        failed = [str(failure.frame_id) for failure in failures]
        unused = (*unused, *self._unused(scene_id, frames, failed))
        return Scene(
            DATASET,
            scene_id,
            tuple(frames),
            "arbitrary",
            tuple(failures),
            notes=image_sizes.exif_notes(frames),
            unused=unused,
        )

    def _unused(
        self, scene_id: str, frames: Sequence[Frame], failed: Sequence[str]
    ) -> tuple[Unused, ...]:
        """Pictures and depth maps in the folders of the scene that belong to none of its images."""
        scene, _, part = scene_id.partition("/")
        dense = depth_folder(self.root) / scene / f"dense{part or 0}"
        pictures, depths = {dense / "imgs"}, {dense / "depths"}
        if self.layout == "undistorted":
            pictures = {self.root / UNDISTORTED / scene / "images"}
        elif self.layout == "scene_info":
            pictures = {frame.image_path.parent for frame in frames}
            depths = {frame.depth.path.parent for frame in frames if frame.depth is not None}
        named = frame_files(frames)
        for name in failed:
            named += [folder / name for folder in pictures]
            named += [folder / f"{Path(name).stem}.h5" for folder in depths]
        places = {
            "pictures that the model or index does not name": pictures,
            "depth maps without a picture": depths,
        }
        kinds = [
            (f"{escape(relative(self.root, folder))}/*", what)
            for what, folders in places.items()
            for folder in sorted(folders)
        ]
        within = sorted(relative(self.root, folder) for folder in pictures | depths)
        return unused_files(self.root, named, kinds, within=within)

    def _found(self, scene_id: str) -> tuple[Sequence[FoundFrame], tuple[Unused, ...]]:
        path = files.inside(self.root, self.scenes[scene_id])
        if self.layout == "scene_info":
            return info.frames(self.root, path, self.exif)
        scene, _, part = scene_id.partition("/")
        folder = depth_folder(self.root) / scene / f"dense{part or 0}"
        if self.layout == "sfm":
            return megadepth_models.published_frames(self.root, path, folder, self.exif)
        depths = folder / "depths"
        return megadepth_models.undistorted_frames(self.root, path, depths, self.exif), ()


def open_megadepth(root: Path, options: MegaDepthOptions) -> MegaDepthSource:
    """The scenes in ``root``, the folder that holds MegaDepth_v1 (or phoenix) and the models.

    Raises:
        DataError: no such folder, nothing of the layout in it, or no list of that split.
    """
    layout = _layout(root, options)
    try:
        scenes, failures = _scenes(root, layout, options.scene_info)
    except FileDefect as defect:
        raise defect.at(DATASET, None) from None
    if options.split is not None and scenes:
        wanted = read_scene_list(root, options.split, DATASET)
        scenes = {name: p for name, p in scenes.items() if wanted & {name, name.split("/")[0]}}
    if not scenes:
        raise DataError(
            Reason.MISSING_FILE,
            dataset=DATASET,
            found=f"no scene of layout {layout} in {root}",
            expected=f"{SFM}/0000/sparse/manhattan/0 or {UNDISTORTED}/0000/sparse-txt, and "
            f"{' or '.join(DEPTH_FOLDERS)}; or -o scene_info='index/scene_info_*/*.npz'",
            remedy="give the folder that the archives were unpacked in",
        )
    return MegaDepthSource(root, layout, scenes, options.exif_orientation, failures)


def depth_folder(root: Path) -> Path:
    """The folder of MegaDepth_v1's scenes."""
    for name in DEPTH_FOLDERS:
        if (root / name).is_dir():
            return root / name
    return root / DEPTH_FOLDERS[-1]


def _layout(root: Path, options: MegaDepthOptions) -> str:
    if options.layout != "auto":
        return options.layout
    if options.scene_info is not None:
        return "scene_info"
    return "undistorted" if (root / UNDISTORTED).is_dir() else "sfm"


def _scenes(
    root: Path, layout: str, scene_info: str | None
) -> tuple[dict[str, Path], tuple[Failure, ...]]:
    """Model folder or archive by scene id, and what was left out; only names are read."""
    if layout == "scene_info":
        pattern = scene_info or "scene_info/*.npz"
        return {found.path.stem: found.path for found in list_files(root, pattern)}, ()
    if layout == "undistorted":
        folders, failures = subfolders(root / UNDISTORTED, DATASET)
        return {p.name: p for p in folders if (p / "sparse-txt").is_dir()}, failures
    found: dict[str, Path] = {}
    scenes, failures = subfolders(root / SFM, DATASET)
    for scene in scenes:
        models, lost = subfolders(scene / "sparse" / "manhattan", DATASET, f"{scene.name}/")
        found |= {f"{scene.name}/{model.name}": model for model in models}
        failures += lost
    return found, failures


def _recognise(root: Path) -> bool:
    try:
        return (root / SFM).is_dir() or (root / UNDISTORTED).is_dir()
    except OSError:
        return False


def _open(root: Path, options: Any) -> MegaDepthSource:
    return open_megadepth(root, options)


SPEC = SourceSpec(
    name=DATASET,
    summary="MegaDepth: photographs of landmarks with COLMAP cameras and HDF5 depth",
    layout=f"sfm: {SFM}/0000/sparse/manhattan/0, MegaDepth_v1/0000/dense0/imgs, …/depths/*.h5; "
    f"undistorted: {UNDISTORTED}/0000/images, …/sparse-txt; scene_info: *.npz",
    conventions="cam_from_world, OpenCV axes, first pixel's centre (0.5, 0.5), unit arbitrary; "
    "values below zero are not depth; pickled arrays are read without unpickling",
    licence="images as their photographers', models and depth CC BY 4.0",
    download="cs.cornell.edu/projects/megadepth",
    options=MegaDepthOptions,
    open=_open,
    recognise=_recognise,
)
