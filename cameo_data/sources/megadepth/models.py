"""MegaDepth's cameras from COLMAP models: as published, or undistorted by D2-Net's script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cameo_data.errors import Reason
from cameo_data.geometry import undistortion
from cameo_data.io import files, image_files
from cameo_data.io.files import FileDefect
from cameo_data.sources.colmap.model import ModelImage, read_model
from cameo_data.sources.common.unused import of_names
from cameo_data.types import Camera, DepthCodec, DepthRef, ExifRule, FloatArray, Frame, Lens, Unused

# COLMAP rounds an undistorted size, and again when it shrinks the image to --max_image_size.
SIZE_TOLERANCE_PX = 1.5
_PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE")

FoundFrame = tuple[str, Callable[[], Frame]]


def published_frames(
    root: Path, model: Path, dense: Path, exif: ExifRule
) -> tuple[Sequence[FoundFrame], tuple[Unused, ...]]:
    """Frames of the images in ``dense/imgs``, whose cameras are undistorted from the model's.

    The model holds all photographs; those without depth were not published and are only counted.
    """
    found = read_model(model).images
    # published names end in .jpg, whatever the photograph's ending
    images = {f"{Path(image.name).stem}.jpg": image for image in found}
    images |= {image.name: image for image in found}
    present = sorted(p.name for p in (dense / "imgs").glob("*") if p.is_file())
    if not present:
        raise FileDefect(
            Reason.MISSING_FILE,
            f"no image in {dense.name}/imgs",
            "undistorted images",
            "unpack MegaDepth_v1.tar.gz beside the models",
        )
    published = set(present) | {images[name].name for name in present if name in images}
    alone = [x.name for x in found if x.name not in published]
    unused: tuple[Unused, ...] = ()
    if alone:
        unused = (of_names("photographs of the model without a picture", len(alone), alone),)
    frames = [(name, partial(_published, root, images, dense, name, exif)) for name in present]
    return frames, unused


def _published(
    root: Path, images: dict[str, ModelImage], dense: Path, name: str, exif: ExifRule
) -> Frame:
    image = images.get(name)
    if image is None:
        raise FileDefect(
            Reason.UNASSOCIATED, f"{name} is not in the model", "its camera", "leave it out"
        )
    path = files.inside(root, dense / "imgs" / name)
    hw = image_files.read_hw(path, exif)
    camera = Camera(undistorted_K(image.lens, hw), hw, image.pose())
    depth = depth_ref(root, dense / "depths", name)
    return Frame(name, camera, path, depth, exif_orientation=exif)


def undistorted_frames(
    root: Path, scene: Path, depths: Path, exif: ExifRule
) -> Sequence[FoundFrame]:
    """Frames of the images of a model whose cameras are pinholes."""
    model = read_model(files.inside(root, scene / "sparse-txt"))
    return [(x.name, partial(_undistorted, root, scene, depths, x, exif)) for x in model.images]


def _undistorted(root: Path, scene: Path, depths: Path, image: ModelImage, exif: ExifRule) -> Frame:
    lens = image.lens
    if lens.model not in _PINHOLES:
        raise FileDefect(
            Reason.UNKNOWN_CAMERA_MODEL,
            f"camera model {lens.model}",
            "PINHOLE, as for undistorted images",
            "run the undistortion again, or use -o layout=sfm",
        )
    path = files.inside(root, scene / "images" / image.name)
    K = np.array(undistortion.colmap_camera(lens).calibration_matrix(), np.float64)
    camera = Camera(K, lens.hw, image.pose())
    depth = depth_ref(root, depths, image.name)
    return Frame(image.name, camera, path, depth, exif_orientation=exif)


def depth_ref(root: Path, folder: Path, image_name: str) -> DepthRef | None:
    """The depth of an image, or None where there is no such file."""
    path = files.inside(root, folder / f"{Path(image_name).stem}.h5")
    if not path.is_file():
        return None
    return DepthRef(path, codec=DepthCodec.MEGADEPTH, scale=1.0, source="colmap")


def undistorted_K(lens: Lens, hw: tuple[int, int]) -> FloatArray:
    """K of the image that COLMAP undistorted from a lens's, at its stored size ``hw``.

    ``image_undistorter`` with its defaults (no blank pixels), then ``--max_image_size``, which
    scales the rows of K by the ratio of sizes.

    Raises:
        FileDefect: COLMAP would have made an image of another shape.
    """
    library = undistortion.colmap()
    options = library.UndistortCameraOptions()
    found = library.undistort_camera(options, undistortion.colmap_camera(lens))
    made_hw = np.array([found.height, found.width])
    scale = float((np.array(hw) / made_hw).max())
    if np.abs(made_hw * scale - hw).max() > SIZE_TOLERANCE_PX or scale > 1 + 2 / min(hw):
        raise FileDefect(
            Reason.WRONG_SIZE,
            f"image is {hw[1]}×{hw[0]}, COLMAP undistorts its {lens.hw[1]}×{lens.hw[0]} photograph "
            f"to {found.width}×{found.height} (w×h)",
            "that size, or smaller in the same shape",
            "take images and model from one release",
        )
    K = np.array(found.calibration_matrix(), np.float64)
    rows = np.array([hw[1] / found.width, hw[0] / found.height, 1.0])
    scaled: FloatArray = K * rows[:, None]
    return scaled
