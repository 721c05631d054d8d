"""Turns a frame's files into a ``View``: image, depth and mask that share one pinhole camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data.correspondence import sample_depth
from cameo_data.errors import Reason
from cameo_data.geometry import registration, undistortion
from cameo_data.io import aspects, depth_files, image_containers, image_files, orientation
from cameo_data.io.files import FileDefect
from cameo_data.io.image_files import RgbFile
from cameo_data.types import Camera, DepthMap, DepthRef, EncodedImage, FloatArray, Frame, View


def read_view(
    frame: Frame,
    *,
    dataset: str,
    scene_id: str,
    hw: tuple[int, int] | None = None,
    with_depth: bool = True,
) -> View:
    """The frame's pixels, undistorted, depth registered to colour, resized to ``hw`` if given.

    Without ``with_depth`` no depth is read, and no pixel of the view has depth.

    Raises:
        DataError: a file is missing, unreadable or of a wrong size, or no depth is left.
        ValueError: unknown depth codec or malformed distortion.
    """
    try:
        view = _read(frame, with_depth)
        if hw is not None:
            view = resize_view(view, hw)
        if with_depth and not view.depth.valid.any():
            raise _empty_depth(frame, "after cropping")
    except FileDefect as defect:
        raise defect.at(dataset, scene_id, frame.frame_id) from None
    return view


def read_image(frame: Frame, *, dataset: str, scene_id: str) -> NDArray[np.uint8]:
    """The frame's (H, W, 3) image alone, undistorted; works for frames without depth.

    Raises:
        DataError: the image is missing, unreadable or of a wrong size.
    """
    try:
        file = _stored_image(frame)
        xy = _stored_xy(frame)
    except FileDefect as defect:
        raise defect.at(dataset, scene_id, frame.frame_id) from None
    return file.rgb if xy is None else _lookup_image(file.rgb, xy)


def view_xy(frame: Frame, xy: FloatArray, hw: tuple[int, int] | None = None) -> FloatArray:
    """(N, 2) pixels of the stored image, mapped into the view that ``read_view`` gives.

    NaN where a pixel falls outside the view.

    Raises:
        FileDefect: as in ``undistortion``.
    """
    moved = undistortion.pinhole_xy(frame, xy)
    size = frame.camera.hw
    if hw is not None and hw != size:
        scaled_hw = cameras.cover_hw(size, hw)
        moved = moved * (scaled_hw[1] / size[1], scaled_hw[0] / size[0])
        moved -= ((scaled_hw[1] - hw[1]) // 2, (scaled_hw[0] - hw[0]) // 2)
        size = hw
    with np.errstate(invalid="ignore"):
        inside = np.all((moved >= 0) & (moved < (size[1], size[0])), axis=1)
    return np.where(np.reshape(inside, (-1, 1)), moved, np.nan)


def resize_view(view: View, hw: tuple[int, int]) -> View:
    """The view scaled to cover ``hw`` and cropped about the centre; the camera changes with it.

    Depth is looked up at the new pixels' centres and never blended across an edge.
    """
    if view.camera.hw == hw:
        return view
    scaled_hw = cameras.cover_hw(view.camera.hw, hw)
    top, left = (scaled_hw[0] - hw[0]) // 2, (scaled_hw[1] - hw[1]) // 2
    window = (slice(top, top + hw[0]), slice(left, left + hw[1]))
    image, depth, mask = view.image, view.depth, view.mask
    if scaled_hw != view.camera.hw:
        image = _scale_image(image, scaled_hw)
        step = np.array([view.camera.hw[1] / scaled_hw[1], view.camera.hw[0] / scaled_hw[0]])
        xy = cameras.query_xy(scaled_hw)[window] * step
        depth = DepthMap(*sample_depth(depth, xy))
        mask = None if mask is None else _nearest(mask, xy)
    else:
        depth = DepthMap(depth.z[window], depth.valid[window])
        mask = None if mask is None else mask[window]
    return replace(
        view,
        camera=cameras.crop(cameras.resize(view.camera, scaled_hw), top, left, hw),
        image=np.ascontiguousarray(image[window]),
        depth=depth,
        mask=mask,
        encoded=None,
    )


def _read(frame: Frame, with_depth: bool) -> View:
    if frame.depth is None and with_depth:
        raise FileDefect(
            Reason.NO_DEPTH,
            "the frame has no depth",
            "a depth map",
            "attach precomputed depth maps (`cameo-data sources NAME` says where they go), or make "
            "them with `cameo-data depth` and give --depth",
        )
    file = _stored_image(frame)
    camera, mask = frame.camera, _stored_mask(frame)
    image = file.rgb
    encoded = (
        EncodedImage(image_files.EXTENSIONS[file.header.format], file.data) if file.plain else None
    )
    xy = _stored_xy(frame)
    if xy is not None:
        image = _lookup_image(image, xy)
        mask = None if mask is None else _nearest(mask, xy)
        encoded = None
    if frame.depth is not None and with_depth:
        depth, source = _read_depth(frame, frame.depth, xy), frame.depth.source
    else:
        depth, source = DepthMap.from_array(np.zeros(camera.hw, np.float32)), "none"
    return View(
        frame_id=frame.frame_id,
        camera=camera,
        image=image,
        depth=depth,
        mask=mask,
        encoded=encoded,
        depth_source=source,
    )


def _stored_xy(frame: Frame) -> FloatArray | None:
    """The stored image's pixel for each of the frame's pixels, or None where they are the same."""
    if frame.distortion is None or not undistortion.is_distorted(frame):
        return None
    return undistortion.stored_xy(frame.camera, frame.distortion)


def _stored_image(frame: Frame) -> RgbFile:
    """The image before undistortion: a file of its own, or one of many in a video or chunk."""
    hw, path, exif = undistortion.stored_hw(frame), frame.image_path, frame.exif_orientation
    if frame.image_index is None:
        file = image_files.read_rgb(path, exif, hw)
    else:
        file = image_containers.read_rgb(path, frame.image_index, exif, hw)
    _check_hw(path.name, file.rgb.shape[:2], hw, file.header.orientation)
    return file


def _stored_mask(frame: Frame) -> NDArray[np.bool_] | None:
    """The mask before undistortion."""
    if frame.mask_path is None:
        return None
    hw, path, exif = undistortion.stored_hw(frame), frame.mask_path, frame.exif_orientation
    mask = image_files.read_mask(path, frame.mask_threshold, exif, hw)
    _check_hw(path.name, mask.shape, hw)
    return mask


def _read_depth(frame: Frame, ref: DepthRef, xy: FloatArray | None) -> DepthMap:
    """The frame's depth in its (undistorted) image; ``xy`` is what ``_stored_xy`` gave."""
    image_hw = undistortion.stored_hw(frame)
    stored = depth_files.read_depth(ref)
    _check_hw(ref.path.name, stored.hw, ref.hw or image_hw)
    if ref.camera_K is None:
        aspects.check_depth(ref.path.name, stored.hw, image_hw)
    if not stored.valid.any():
        raise _empty_depth(frame, "in the file")
    depth = _to_color(stored, ref, frame.camera, image_hw, xy)
    if not depth.valid.any():
        raise _empty_depth(frame, "once brought into the colour camera")
    return depth


def _to_color(
    stored: DepthMap,
    ref: DepthRef,
    camera: Camera,
    image_hw: tuple[int, int],
    xy: FloatArray | None,
) -> DepthMap:
    # depth with the same camera as an undistorted image needs no registration
    own_K = ref.camera_K is not None and not (
        xy is None and stored.hw == camera.hw and np.array_equal(ref.camera_K, camera.K)
    )
    own_camera = own_K or ref.color_from_depth is not None
    if own_camera:
        depth_K = cameras.resize(camera, stored.hw).K if ref.camera_K is None else ref.camera_K
        if ref.color_from_depth is not None and not np.array_equal(ref.color_from_depth, np.eye(4)):
            return registration.register(stored, depth_K, ref.color_from_depth, camera.K, camera.hw)
        # with one centre of projection, colour pixels map to depth pixels at any distance
        rays = cameras.unproject_to_camera(
            camera.K, cameras.query_xy(camera.hw), np.ones(camera.hw)
        )
        return DepthMap(*sample_depth(stored, (rays @ depth_K.T)[..., :2]))
    if xy is None:
        if stored.hw == camera.hw and ref.shift_px == 0:
            return stored
        xy = cameras.query_xy(camera.hw)
    step = np.array([stored.hw[1] / image_hw[1], stored.hw[0] / image_hw[0]])
    return DepthMap(*sample_depth(stored, xy * step + ref.shift_px))


def _scale_image(image: NDArray[np.uint8], hw: tuple[int, int]) -> NDArray[np.uint8]:
    shrinks = hw[0] < image.shape[0]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (hw[1], hw[0]), interpolation=mode), np.uint8)


def _lookup_image(image: NDArray[np.uint8], xy: FloatArray) -> NDArray[np.uint8]:
    """The image at pixels (H, W, 2), bilinear; black where they are NaN."""
    # OpenCV counts from pixel centres; −1e4 is far outside an image of any size
    index = np.nan_to_num(xy - 0.5, nan=-1e4).astype(np.float32)
    looked_up = cv2.remap(image, index, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    looked_up[np.isnan(xy[..., 0])] = 0
    return np.asarray(looked_up, np.uint8)


def _nearest(mask: NDArray[np.bool_], xy: FloatArray) -> NDArray[np.bool_]:
    """The mask at pixels (H, W, 2); False where they are NaN."""
    known = np.isfinite(xy[..., 0])
    column, row = np.floor(np.nan_to_num(xy)).astype(np.intp).transpose(2, 0, 1)
    height, width = mask.shape
    looked_up: NDArray[np.bool_] = mask[row.clip(0, height - 1), column.clip(0, width - 1)]
    return looked_up & known


def _check_hw(
    name: str, shape: tuple[int, ...], expected: tuple[int, int], exif_tag: int = 1
) -> None:
    found = (shape[0], shape[1])
    if found == expected:
        return
    remedy = "resize it, or give its scene its own intrinsics"
    if found == expected[::-1]:
        remedy = "turn it by 90°, or give its scene its own intrinsics"
    if exif_tag != orientation.STORED:
        remedy = (
            f"its EXIF orientation is {exif_tag}: choose between -o exif_orientation=stored and "
            "-o exif_orientation=displayed by which of them has that size"
        )
    raise FileDefect(
        Reason.WRONG_SIZE,
        f"{name} is {found[0]}×{found[1]}",
        f"{expected[0]}×{expected[1]} (h×w) as in the rest of the scene",
        remedy,
    )


def _empty_depth(frame: Frame, when: str) -> FileDefect:
    name: Any = frame.depth.path.name if frame.depth is not None else "depth"
    return FileDefect(
        Reason.EMPTY_DEPTH,
        f"{name} has no valid pixel {when}",
        "depth above zero somewhere",
        "check depth scale and codec, or leave the frame out",
    )
