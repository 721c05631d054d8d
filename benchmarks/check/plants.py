"""The mistakes: each changes a capture as a person would write or read it by mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.check.scenes import Capture, Shot, stored
from cameo_data import camera as cameras
from cameo_data import transforms
from cameo_data.check.suspects import Suspect
from cameo_data.check.suspects.poses import quarter_turns
from cameo_data.types import Camera, FloatArray

Plant = Callable[[Capture], Capture]
PoseChange = Callable[[FloatArray], FloatArray]


def _each(change: Callable[[Shot], Shot]) -> Plant:
    return lambda c: replace(c, taken=tuple(change(shot) for shot in c.taken))


def _poses(change: PoseChange) -> Plant:
    """Of ``cam_from_world``."""
    return _each(lambda s: replace(s, cam_from_world=change(s.cam_from_world)))


def _K(change: PoseChange) -> Plant:
    return _each(lambda s: replace(s, K=change(s.K)))


def _both(first: Plant, second: Plant) -> Plant:
    return lambda c: second(first(c))


def _robot(pose: FloatArray) -> FloatArray:
    """Cameras that look along x, with y left and z up."""
    robot_from_cam = np.eye(4)
    robot_from_cam[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    return np.asarray(robot_from_cam @ pose, np.float64)


def _centre_as_translation(pose: FloatArray) -> FloatArray:
    out = pose.copy()
    out[:3, 3] = transforms.invert(pose)[:3, 3]
    return out


def _rotation_alone_inverted(pose: FloatArray) -> FloatArray:
    out = pose.copy()
    out[:3, :3] = pose[:3, :3].T
    return out


def _w_last_for_first(pose: FloatArray) -> FloatArray:
    """world_from_cam's quaternions, stored w x y z, read as x y z w."""
    stored_pose = transforms.invert(pose)
    xyzw = Rotation.from_matrix(stored_pose[:3, :3]).as_quat()
    stored_pose[:3, :3] = Rotation.from_quat(np.roll(xyzw, 1)).as_matrix()
    return transforms.invert(stored_pose)


def _baseline(pose: FloatArray) -> FloatArray:
    out = pose.copy()
    out[:3, 3] *= -1
    return out


def _late(c: Capture) -> Capture:
    poses = [shot.cam_from_world for shot in c.taken]
    taken = zip(c.taken, [*poses[-1:], *poses[:-1]], strict=True)
    return replace(c, taken=tuple(replace(s, cam_from_world=pose) for s, pose in taken))


def _depth_late(c: Capture) -> Capture:
    depths = [shot.z for shot in c.taken]
    taken = zip(c.taken, [*depths[-1:], *depths[:-1]], strict=True)
    return replace(c, taken=tuple(replace(s, z=z) for s, z in taken))


def _focal(x: float, y: float) -> PoseChange:
    return lambda K: K * np.array([[x, 1, 1], [1, y, 1], [1, 1, 1]])


def _swapped_centre(K: FloatArray) -> FloatArray:
    out = K.copy()
    out[:2, 2] = K[[1, 0], 2]
    return out


def _half(K: FloatArray) -> FloatArray:
    return K - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def _stretched(c: Capture) -> Capture:
    """Pictures squeezed from 16:9 to 4:3, read with square pixels."""

    def squeezed(shot: Shot) -> Shot:
        K = _focal((4 / 3) / (16 / 9), 1)(shot.K)
        taken = c.shoot(_camera(shot, K))
        return replace(shot, rgb=taken.rgb, z=None if shot.z is None else taken.z)

    tracks = c.tracks and {
        name: (ids, c.taken[int(name)].K[:2, 2] * (0.25, 0) + xy * (0.75, 1))
        for name, (ids, xy) in c.tracks.items()
    }
    return replace(c, taken=tuple(squeezed(shot) for shot in c.taken), tracks=tracks)


def _turned(pictures: int, depth: int) -> Plant:
    """Clockwise, by quarter turns."""

    def turn(shot: Shot) -> Shot:
        z = None if shot.z is None else np.rot90(shot.z, -depth).copy()
        return replace(shot, rgb=np.rot90(shot.rgb, -pictures).copy(), z=z)

    return _each(turn)


def _along_ray(power: int) -> Plant:
    def change(shot: Shot) -> Shot:
        assert shot.z is not None
        xy = cameras.query_xy((shot.z.shape[0], shot.z.shape[1]))
        rays = cameras.unproject_to_camera(shot.K, xy, np.ones(shot.z.shape))
        return replace(shot, z=shot.z * np.linalg.norm(rays, axis=-1).astype(np.float32) ** power)

    return _each(change)


def _sun(c: Capture) -> Capture:
    def rotated(z: FloatArray) -> np.ndarray:
        v = stored(z, 0.001)
        return np.asarray((v << 3) | (v >> 13), np.uint16)

    return replace(c, encode=rotated, scale=0.001)


def _float16(c: Capture) -> Capture:
    """Bits of float16 metres read as integers."""
    return replace(c, encode=lambda z: z.astype(np.float16).view(np.uint16), scale=1.0)


def _cut(x: float, y: float) -> Plant:
    """Depth of the middle of the view alone, shares (x, y) of it."""

    def change(shot: Shot) -> Shot:
        assert shot.z is not None
        h, w = shot.z.shape
        rows, columns = round(h * y), round(w * x)
        top, left = (h - rows) // 2, (w - columns) // 2
        return replace(shot, z=shot.z[top : top + rows, left : left + columns].copy())

    return _each(change)


def _zoomed_depth(c: Capture) -> Capture:
    cut = _cut(0.75, 0.75)(c)
    return _each(
        lambda s: replace(s, z=cv2.resize(s.z, s.rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST))
    )(cut)


def _colour_K(c: Capture) -> Capture:
    """Another K of colour, depth with its own, right one."""
    return _each(lambda s: replace(s, K=_focal(1.25, 1.25)(s.K), depth_K=s.K))(c)


def _beside(c: Capture) -> Capture:
    """Pictures of another camera next to the depth camera."""
    color_from_depth = np.eye(4)
    color_from_depth[0, 3] = -0.02 * _middle(c)

    def change(shot: Shot) -> Shot:
        pose = color_from_depth @ shot.cam_from_world
        return replace(shot, rgb=c.shoot(_camera(shot, _focal(0.9, 0.9)(shot.K), pose)).rgb)

    return _each(change)(c)


def _middle(c: Capture) -> float:
    return float(np.median([np.median(s.z[s.z > 0]) for s in c.taken if s.z is not None]))


def _camera(shot: Shot, K: FloatArray, pose: FloatArray | None = None) -> Camera:
    h, w = shot.rgb.shape[:2]
    return Camera(K, (h, w), shot.cam_from_world if pose is None else pose)


def _exchanged(c: Capture) -> Capture:
    """The poses of two frames."""
    order = list(range(len(c.taken)))
    order[2], order[6] = 6, 2
    poses = [c.taken[i].cam_from_world for i in order]
    taken = zip(c.taken, poses, strict=True)
    return replace(c, taken=tuple(replace(s, cam_from_world=pose) for s, pose in taken))


def _doubled(c: Capture) -> Capture:
    """The picture and depth of one frame stored for another as well."""
    taken = list(c.taken)
    taken[4] = replace(taken[4], rgb=taken[2].rgb, z=taken[2].z)
    tracks = c.tracks
    if tracks is not None:
        tracks = {**tracks, "004": tracks["002"]}
    return replace(c, taken=tuple(taken), tracks=tracks)


def _depth_of_neighbour(c: Capture) -> Capture:
    taken = list(c.taken)
    taken[5] = replace(taken[5], z=taken[4].z)
    return replace(c, taken=tuple(taken))


def _depths_exchanged(c: Capture) -> Capture:
    taken = list(c.taken)
    taken[4], taken[5] = replace(taken[4], z=taken[5].z), replace(taken[5], z=taken[4].z)
    return replace(c, taken=tuple(taken))


def _unit(c: Capture) -> Capture:
    return replace(c, encode=lambda z: stored(z, 0.001))


_S = Suspect
_inverted = _poses(transforms.invert)
# name -> plant, suspects that the check should name, whether it needs depth
PLANTS: dict[str, tuple[Plant, tuple[Suspect, ...], bool]] = {
    "poses inverted": (_inverted, (_S.POSES_INVERTED,), False),
    "OpenGL axes": (
        _poses(lambda m: transforms.OPENCV_FROM_OPENGL @ m), (_S.OPENGL_AXES,), False),
    "inverted and OpenGL axes": (
        _poses(lambda m: transforms.invert(transforms.OPENCV_FROM_OPENGL @ m)),
        (_S.POSES_INVERTED_OPENGL_AXES,), False),
    "cameras a quarter turn": (
        _poses(lambda m: quarter_turns(1) @ m), (_S.CAMERAS_TURNED,), False),
    "cameras a half turn": (_poses(lambda m: quarter_turns(2) @ m), (_S.CAMERAS_TURNED,), False),
    "robot axes": (_poses(_robot), (_S.CAMERA_CONVENTION,), False),
    "centre as translation": (_poses(_centre_as_translation), (_S.ROTATION_INVERTED,), False),
    "rotation alone inverted": (_poses(_rotation_alone_inverted), (_S.ROTATION_INVERTED,), False),
    "quaternion order": (_poses(_w_last_for_first), (_S.QUATERNION_ORDER,), False),
    "baseline turned": (_poses(_baseline), (_S.DISPARITY_DIRECTION,), False),
    "poses late by one": (_late, (_S.TRAJECTORY_OFFSET,), False),
    "K of twice the size": (
        _K(lambda K: np.diag([2.0, 2.0, 1.0]) @ K), (_S.INTRINSICS_SIZE,), False),
    "field of view of the other side": (_K(_focal(4 / 3, 4 / 3)), (_S.FIELD_OF_VIEW_SIDE,), False),
    "cx and cy exchanged": (_K(_swapped_centre), (_S.PRINCIPAL_POINT_SWAPPED,), False),
    "focal length × 0.85": (_K(_focal(0.85, 0.85)), (_S.FOCAL_LENGTH,), False),
    "crop taken for stretch": (_K(_focal(0.75, 1)), (_S.FRAMES_CROPPED,), False),
    "padding taken for stretch": (_K(_focal(1, 4 / 3)), (_S.FRAMES_PADDED,), False),
    "stretch taken for crop": (_stretched, (_S.FRAMES_STRETCHED,), False),
    "half a pixel": (_K(_half), (_S.HALF_PIXEL,), False),
    "all pixels a quarter turn": (_turned(1, 1), (_S.FRAMES_TURNED,), True),
    "pictures a quarter turn": (_turned(1, 0), (_S.PICTURES_TURNED,), False),
    "pictures a half turn": (_turned(2, 0), (_S.PICTURES_TURNED,), False),
    "depth a half turn": (_turned(0, 2), (_S.DEPTH_TURNED,), True),
    "distance along the ray": (_along_ray(1), (_S.DEPTH_ALONG_RAY,), True),
    "z divided by the ray": (_along_ray(-1), (_S.DEPTH_NOT_ALONG_RAY,), True),
    "depth unit": (_unit, (_S.DEPTH_SCALE,), True),
    "bits rotated": (_sun, (_S.DEPTH_CODEC,), True),
    "bits of float16": (_float16, (_S.DEPTH_CODEC,), True),
    "depth of the middle": (_zoomed_depth, (_S.DEPTH_CROP,), True),
    "depth late by one": (_depth_late, (_S.DEPTH_OFFSET,), True),
    "K of colour alone": (_colour_K, (_S.COLOUR_INTRINSICS,), True),
    "colour camera beside": (_beside, (_S.COLOUR_NOT_REGISTERED,), True),
    "two poses exchanged": (_exchanged, (_S.FRAMES_EXCHANGED,), False),
    "frame doubled": (_doubled, (_S.FRAME_DOUBLED,), False),
    "depth of a neighbour": (_depth_of_neighbour, (_S.DEPTH_OF_ANOTHER_FRAME,), True),
    "two depths exchanged": (_depths_exchanged, (_S.DEPTH_OF_ANOTHER_FRAME,), True),
    "inverted, other unit": (_both(_inverted, _unit), (_S.POSES_INVERTED, _S.DEPTH_SCALE), True),
    "inverted, quarter turn": (
        _both(_poses(lambda m: quarter_turns(1) @ m), _inverted),
        (_S.POSES_INVERTED, _S.CAMERAS_TURNED), False),
    "twice the size, OpenGL axes": (
        _both(_K(lambda K: np.diag([2.0, 2.0, 1.0]) @ K),
              _poses(lambda m: transforms.OPENCV_FROM_OPENGL @ m)),
        (_S.INTRINSICS_SIZE, _S.OPENGL_AXES), False),
}  # fmt: skip
