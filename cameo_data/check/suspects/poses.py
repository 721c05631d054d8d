"""Mistakes in reading poses: direction, camera axes, quaternions, translations, order in time."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Literal, Unpack

import numpy as np
from scipy.spatial.transform import Rotation

from cameo_data import transforms
from cameo_data.check.measure import Reading
from cameo_data.check.suspects.base import Context, Evidence, Suspect, Variant, Variants
from cameo_data.types import FloatArray

# Cameras that are turned against each other by less are a rectified rig.
RECTIFIED_DEG = 0.01


def quarter_turns(count: int) -> FloatArray:
    """(4, 4) turn of a camera about its optical axis: x goes to y, ``count`` times."""
    turn = np.eye(4)
    turn[:2, :2] = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), count)
    return turn


def inverted_poses(context: Context, base: Reading) -> Variants:
    if _rectified(base):
        return  # a turned baseline is all that an inversion does then
    inverse = transforms.invert(base.cam_from_world)
    yield _posed(Suspect.POSES_INVERTED, base, inverse)
    poses = transforms.OPENCV_FROM_OPENGL @ inverse
    yield _posed(Suspect.POSES_INVERTED_OPENGL_AXES, base, poses)


def camera_axes(context: Context, base: Reading) -> Variants:
    """The cameras' axes are others: OpenGL's, turned about the optical axis, or any permuted."""
    poses = base.cam_from_world
    yield _posed(Suspect.OPENGL_AXES, base, transforms.OPENCV_FROM_OPENGL @ poses)
    for count in (1, 2, 3):
        yield _posed(
            Suspect.CAMERAS_TURNED, base, quarter_turns(count) @ poses, turn_deg=90 * count
        )
    for axes in _OTHER_AXES:
        yield _posed(Suspect.CAMERA_CONVENTION, base, axes @ poses, axes=axes[:3, :3])


def _axes_left() -> tuple[FloatArray, ...]:
    """Signed permutations that are rotations, but not OpenGL's nor about the optical axis."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            axes = np.eye(4)
            axes[:3, :3] = np.diag(signs)[:, order]
            about_optical_axis = axes[2, 2] == 1
            opengl = np.array_equal(axes, transforms.OPENCV_FROM_OPENGL)
            if np.linalg.det(axes) > 0 and not (about_optical_axis or opengl):
                found.append(axes)
    return tuple(found)


_OTHER_AXES = _axes_left()


def rotation_of_other_direction(context: Context, base: Reading) -> Variants:
    """Rotation of one direction with the translation of the other, in any of the four ways."""
    if _rectified(base):
        return
    rotation, translation = base.cam_from_world[:, :3, :3], base.cam_from_world[:, :3, 3]
    inverse = np.swapaxes(rotation, 1, 2)
    centre = -_times(inverse, translation)
    for text, r, t in (
        ("the translation is the camera's centre", rotation, -_times(rotation, translation)),
        ("the camera's centre is the translation", rotation, centre),
        ("the rotation is the inverse, the translation is not", inverse, translation),
        ("the rotation is the inverse, the camera's centre is not", inverse,
         -_times(inverse, centre)),
    ):  # fmt: skip
        poses = base.cam_from_world.copy()
        poses[:, :3, :3], poses[:, :3, 3] = r, t
        yield _posed(Suspect.ROTATION_INVERTED, base, poses, way=text)


def quaternion_order(context: Context, base: Reading) -> Variants:
    """Quaternions with w last taken for w first, or the reverse, of poses stored either way."""
    for inverted, opengl, shift in itertools.product((True, False), (False, True), (-1, 1)):
        stored = transforms.invert(base.cam_from_world) if inverted else base.cam_from_world.copy()
        if opengl:
            stored = _other_axes(stored, inverted)
        # scipy's order is x, y, z, w
        q = np.roll(Rotation.from_matrix(stored[:, :3, :3]).as_quat(), shift, axis=1)
        stored[:, :3, :3] = Rotation.from_quat(q).as_matrix()
        if opengl:
            stored = _other_axes(stored, inverted)
        poses = transforms.invert(stored) if inverted else stored
        read_as: Literal["wxyz", "xyzw"] = "xyzw" if shift < 0 else "wxyz"
        yield _posed(Suspect.QUATERNION_ORDER, base, poses, read_as=read_as)


def disparity_direction(context: Context, base: Reading) -> Variants:
    """The baseline of each camera points the other way, as when left and right are swapped."""
    poses = base.cam_from_world.copy()
    poses[:, :3, 3] *= -1
    yield _posed(Suspect.DISPARITY_DIRECTION, base, poses)


def trajectory_offset(context: Context, base: Reading) -> Variants:
    """Each frame has the pose of the one after or before it."""
    frames = context.scene.frames
    own = np.array([frame.camera.cam_from_world for frame in frames])
    places = np.array([view.place for view in context.views])
    # what was undone before stays undone: cameras may have been turned, or poses inverted
    for offset in (1, -1):
        there = (places + offset >= 0) & (places + offset < len(frames))
        moved = own[np.where(there, places + offset, 0)]
        if not np.array_equal(base.cam_from_world, own[places]):
            return
        yield Variant(
            Suspect.TRAJECTORY_OFFSET,
            replace(base, cam_from_world=moved, usable=base.usable & there),
            {"offset": offset},
        )


def _other_axes(poses: FloatArray, world_from_cam: bool) -> FloatArray:
    """Stored poses with OpenGL's cameras for OpenCV's, or the reverse."""
    turn = transforms.OPENCV_FROM_OPENGL
    return np.asarray(poses @ turn if world_from_cam else turn @ poses, np.float64)


def _posed(
    suspect: Suspect, base: Reading, poses: FloatArray, **values: Unpack[Evidence]
) -> Variant:
    return Variant(suspect, replace(base, cam_from_world=poses), values)


def _times(rotation: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("vij,vj->vi", rotation, vectors), np.float64)


def _rectified(base: Reading) -> bool:
    turned = transforms.relative_rotation_deg(base.cam_from_world)
    return bool(turned.max(initial=0.0) < RECTIFIED_DEG)
