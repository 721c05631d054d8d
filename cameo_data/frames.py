"""A frame's files become a ``View``: pinhole image, depth and mask of one size and one camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cameo_data import camera as cameras
from cameo_data import depth_io, image_io, registration, undistortion
from cameo_data.correspondence import sample_depth
from cameo_data.errors import Reason
from cameo_data.files import FileDefect
from cameo_data.types import Camera, DepthMap, DepthRef, EncodedImage, FloatArray, Frame, View


def read_view(
    frame: Frame, *, dataset: str, scene_id: str, hw: tuple[int, int] | None = None
) -> View:
    """The frame's pixels, undistorted, depth registered to colour, resized to ``hw`` if given.

    Raises:
        DataError: a file is missing, unreadable or of a wrong size, or no depth is left.
        ValueError: unknown depth codec or malformed distortion.
    """
    try:
        view = _read(frame)
        if hw is not None:
            view = resize_view(view, hw)
        if not view.depth.valid.any():
            raise _empty_depth(frame, "after cropping")
    except FileDefect as defect:
        raise defect.at(dataset, scene_id, frame.frame_id) from None
    return view


def resize_view(view: View, hw: tuple[int, int]) -> View:
    """The view scaled to cover ``hw`` and cropped to it about the centre; the camera follows.

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


def _read(frame: Frame) -> View:
    if frame.depth is None:
        raise FileDefect(
            Reason.NO_DEPTH,
            "the frame has no depth",
            "a depth map",
            "attach precomputed depth, or leave the frame out",
        )
    file = image_io.read_rgb(frame.image_path)
    camera = frame.camera
    _check_hw(frame.image_path.name, file.header.hw, camera.hw)
    mask = None if frame.mask_path is None else image_io.read_mask(frame.mask_path)
    if mask is not None and frame.mask_path is not None:
        _check_hw(frame.mask_path.name, (mask.shape[0], mask.shape[1]), camera.hw)
    image = file.rgb
    encoded = (
        EncodedImage(image_io.EXTENSIONS[file.header.format], file.data) if file.plain else None
    )
    xy = None
    if frame.distortion is not None and any(frame.distortion):
        xy = undistortion.stored_xy(camera, frame.distortion)
        image = _lookup_image(image, xy)
        mask = None if mask is None else _nearest(mask, xy)
        encoded = None
    depth = _read_depth(frame, frame.depth, xy)
    return View(
        frame_id=frame.frame_id,
        camera=camera,
        image=image,
        depth=depth,
        mask=mask,
        encoded=encoded,
        depth_source=frame.depth.source,
    )


def _read_depth(frame: Frame, ref: DepthRef, xy: FloatArray | None) -> DepthMap:
    """The frame's depth in the pixels of its (undistorted) image; ``xy`` as of ``stored_xy``."""
    camera = frame.camera
    stored = depth_io.read_depth(ref)
    _check_hw(ref.path.name, stored.hw, ref.hw or camera.hw)
    if not stored.valid.any():
        raise _empty_depth(frame, "in the file")
    depth = _to_color(stored, ref, camera, xy)
    if not depth.valid.any():
        raise _empty_depth(frame, "once brought into the colour camera")
    return depth


def _to_color(stored: DepthMap, ref: DepthRef, camera: Camera, xy: FloatArray | None) -> DepthMap:
    own_camera = ref.camera_K is not None or ref.color_from_depth is not None
    if own_camera:
        depth_K = cameras.resize(camera, stored.hw).K if ref.camera_K is None else ref.camera_K
        if ref.color_from_depth is not None and not np.array_equal(ref.color_from_depth, np.eye(4)):
            return registration.register(stored, depth_K, ref.color_from_depth, camera.K, camera.hw)
        # one centre of projection: a pixel of colour is a pixel of depth, whatever its distance
        rays = cameras.unproject_to_camera(
            camera.K, cameras.query_xy(camera.hw), np.ones(camera.hw)
        )
        return DepthMap(*sample_depth(stored, (rays @ depth_K.T)[..., :2]))
    if xy is None:
        if stored.hw == camera.hw:
            return stored
        xy = cameras.query_xy(camera.hw)
    step = np.array([stored.hw[1] / camera.hw[1], stored.hw[0] / camera.hw[0]])
    return DepthMap(*sample_depth(stored, xy * step))


def _scale_image(image: NDArray[np.uint8], hw: tuple[int, int]) -> NDArray[np.uint8]:
    shrinks = hw[0] < image.shape[0]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (hw[1], hw[0]), interpolation=mode), np.uint8)


def _lookup_image(image: NDArray[np.uint8], xy: FloatArray) -> NDArray[np.uint8]:
    """The image at pixels (H, W, 2), bilinear; black where they are NaN."""
    # OpenCV counts from pixel centres; −1e4 is far outside whatever the size
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


def _check_hw(name: str, found: tuple[int, int], expected: tuple[int, int]) -> None:
    if found != expected:
        raise FileDefect(
            Reason.WRONG_SIZE,
            f"{name} is {found[0]}×{found[1]}",
            f"{expected[0]}×{expected[1]} (h×w) as in the rest of the scene",
            "resize it, or give its scene its own intrinsics",
        )


def _empty_depth(frame: Frame, when: str) -> FileDefect:
    name: Any = frame.depth.path.name if frame.depth is not None else "depth"
    return FileDefect(
        Reason.EMPTY_DEPTH,
        f"{name} has no valid pixel {when}",
        "depth above zero somewhere",
        "check depth scale and codec, or leave the frame out",
    )
