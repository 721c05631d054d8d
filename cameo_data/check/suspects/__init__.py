"""The usual mistakes in reading a data set, each undone on cameras and depths that have been read.

A suspect gives one or more variants: the reading as it would be had the mistake not been made.
"""

from __future__ import annotations

from cameo_data.check.suspects import colour_camera, depth, intrinsics, poses, turned
from cameo_data.check.suspects.base import Context, Maker, Suspect, Variant, Variants

CAMERA_SUSPECTS: tuple[Maker, ...] = (
    poses.inverted_poses,
    poses.disparity_direction,  # before half turns, which on a rectified rig do the same
    poses.camera_axes,
    poses.trajectory_offset,
    intrinsics.intrinsics_of_another_size,
    intrinsics.field_of_view_of_other_side,
    intrinsics.swapped_principal_point,
    intrinsics.cropped_frames,
    intrinsics.stretched_frames,
    turned.turned_frames,
    poses.rotation_of_other_direction,
    poses.quaternion_order,
    intrinsics.half_pixel,
    intrinsics.focal_length,
)
# Those that two at once are tried of: all but what is fitted, and what no figure turns bad by.
PAIRED_SUSPECTS: tuple[Maker, ...] = tuple(
    maker
    for maker in CAMERA_SUSPECTS
    if maker not in (intrinsics.half_pixel, intrinsics.focal_length)
)
COLOUR_SUSPECTS: tuple[Maker, ...] = (
    colour_camera.colour_intrinsics,
    colour_camera.colour_not_registered,
)
DEPTH_SUSPECTS: tuple[Maker, ...] = (
    depth.ray_depth,
    # before the scale: bits rotated by three are eight times the value up to 8 m
    depth.depth_codec,
    depth.depth_scale,
    turned.turned_depth,
    depth.depth_crop,
    depth.depth_offset,
    *COLOUR_SUSPECTS,
)

__all__ = [
    "CAMERA_SUSPECTS",
    "COLOUR_SUSPECTS",
    "DEPTH_SUSPECTS",
    "PAIRED_SUSPECTS",
    "Context",
    "Maker",
    "Suspect",
    "Variant",
    "Variants",
]
