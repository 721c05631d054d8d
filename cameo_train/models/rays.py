"""Ray maps: the ray through each cell of the latents, in Plücker coordinates.

Conventions: docs/conventions.md (OpenCV axes, a cell's centre is half a cell from its edge).
Shapes: B, V views, h, w cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Cameras closer together than this share of their distance from the world's origin count as being
# at one place: float32 positions are rounded by 6e-8 of it, and a few operations add up.
SAME_PLACE = 1e-5


class GroupFrame(NamedTuple):
    """A group's own coordinates: those of its first reference camera.

    Attributes:
        frame_from_world: (B, 4, 4) rigid transform into that camera's frame.
        frame_from_cam: (B, V, 4, 4).
        spread: (B,) distance from that camera to the farthest one; 1 if all are at one place.
    """

    frame_from_world: Tensor
    frame_from_cam: Tensor
    spread: Tensor


def group_frame(cam_from_world: Tensor, reference: Tensor) -> GroupFrame:
    """Coordinates that depend neither on the world's nor on the order of the other views.

    Args:
        cam_from_world: (B, V, 4, 4).
        reference: (B, V) bool; if none is True, the first view is the reference.
    """
    world_from_cam = _rigid_inverse(cam_from_world)
    first = reference.to(torch.uint8).argmax(1)
    batch = torch.arange(len(first), device=first.device)
    frame_from_world = cam_from_world[batch, first]
    frame_from_cam = frame_from_world[:, None] @ world_from_cam
    spread = frame_from_cam[..., :3, 3].norm(dim=-1).amax(1)
    far = world_from_cam[..., :3, 3].norm(dim=-1).amax(1)
    spread = torch.where(spread > SAME_PLACE * far, spread, torch.ones_like(spread))
    return GroupFrame(frame_from_world, frame_from_cam, spread)


def ray_maps(
    K: Tensor,
    cam_from_world: Tensor,
    reference: Tensor,
    *,
    image_hw: tuple[int, int],
    latent_hw: tuple[int, int],
) -> Tensor:
    """(B, V, 6, h, w) unit direction and moment (origin × direction) of each cell's ray.

    Rays are in the group's frame, scaled so that the farthest camera is at distance 1; neither the
    world's frame nor its unit matters. CAT3D (section 3.1) also gives rays relative to the first
    camera.

    Args:
        K: (B, V, 3, 3) in pixels of the image.
    """
    K, cam_from_world = K.float(), cam_from_world.float()
    frame = group_frame(cam_from_world, reference)
    (height, width), (rows, columns) = image_hw, latent_hw
    x = (torch.arange(columns, device=K.device) + 0.5) * (width / columns)
    y = (torch.arange(rows, device=K.device) + 0.5) * (height / rows)
    pixels = torch.stack(
        [x.expand(rows, columns), y[:, None].expand(rows, columns), x.new_ones(rows, columns)]
    )
    frame_from_pixel = frame.frame_from_cam[..., :3, :3] @ torch.linalg.inv(K)
    direction = torch.einsum("bvij,jhw->bvihw", frame_from_pixel, pixels)
    direction = torch.nn.functional.normalize(direction, dim=2)
    origin = frame.frame_from_cam[..., :3, 3] / frame.spread[:, None, None]
    moment = torch.cross(origin[..., None, None].expand_as(direction), direction, dim=2)
    return torch.cat([direction, moment], 2)


def _rigid_inverse(b_from_a: Tensor) -> Tensor:
    rotation = b_from_a[..., :3, :3].transpose(-1, -2)
    out = torch.zeros_like(b_from_a)
    out[..., :3, :3] = rotation
    out[..., :3, 3] = -(rotation @ b_from_a[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1
    return out
