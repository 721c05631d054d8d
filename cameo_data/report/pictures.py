"""A pair's pictures made small enough for a page, as data URIs."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

from cameo_data.correspondence import PreparedView, correspond_prepared
from cameo_data.geometry.sparse_matches import directed
from cameo_data.report import agreement, matches, overlay
from cameo_data.report.agreement import Agreement
from cameo_data.report.matches import Image
from cameo_data.types import Correspondence, Sample, Verdict

# Long sides in pixels: two views side by side fill a wide column, tiles a quarter of it at the
# density of a high-resolution screen.
MATCH_SIDE, TILE_SIDE, VIEW_SIDE = 720, 512, 400
SMALLEST_MATCH_SIDE = 600
# WebP quality at which thin lines and outlines stay clean at about 0.15 bytes per pixel.
_QUALITY = 82


@dataclass(frozen=True)
class EmbeddedPicture:
    """An image in a page.

    Attributes:
        uri: ``data:image/webp;base64,…``.
    """

    uri: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class PairPictures:
    """What a page shows of one ordered pair a → b.

    Attributes:
        tiles: None where sparse matches stand in for depth: there is nothing to warp.
    """

    a: int
    b: int
    rotation_deg: float
    agreement: Agreement
    matches: EmbeddedPicture
    tiles: Tiles | None


@dataclass(frozen=True, eq=False)
class Tiles:
    """Pictures of a matched at every pixel; ``target`` is a itself, to hold ``warped`` against."""

    target: EmbeddedPicture
    warped: EmbeddedPicture
    difference: EmbeddedPicture
    verdicts: EmbeddedPicture
    confidence: EmbeddedPicture

    def all(self) -> tuple[EmbeddedPicture, ...]:
        """Every one of them."""
        return self.target, self.warped, self.difference, self.verdicts, self.confidence


def picture(image: Image, side: int | None = None) -> EmbeddedPicture:
    """The image shrunk to a long side of at most ``side`` pixels, never enlarged."""
    if side is not None:
        image = matches.resized(image, min(1.0, side / max(image.shape[:2])))
    good, data = cv2.imencode(
        ".webp", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    )
    if not good:  # only out of memory or above WebP's 16383 pixels, which ``side`` excludes
        raise ValueError(f"an image of shape {image.shape} cannot be encoded as WebP")
    uri = "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()
    return EmbeddedPicture(uri, image.shape[1], image.shape[0])


def of_views(sample: Sample) -> list[EmbeddedPicture]:
    """Every view, small."""
    return [picture(image, VIEW_SIDE) for image in sample.images]


def of_pair(sample: Sample, views: list[PreparedView], a: int, b: int, seed: int) -> PairPictures:
    """All pictures of a → b, matched at every pixel from depth and poses, or by sparse matches."""
    image0, image1 = sample.images[a], sample.images[b]
    side = max(*image0.shape[:2], *image1.shape[:2])
    # small views are enlarged, so that marks of a fixed size do not hide them
    scale = float(np.clip(1.0, SMALLEST_MATCH_SIDE / side, MATCH_SIDE / side))
    rotation_deg = float(sample.rotation_deg[a, b])
    if sample.sparse:
        pair = directed(sample.matches or {}, a, b)
        drawn = matches.sparse_side_by_side(image0, image1, pair, seed=seed, scale=scale)
        measured = agreement.of_matches(image0, image1, pair)
        return PairPictures(a, b, rotation_deg, measured, picture(drawn), None)
    match = correspond_prepared(views[a], views[b], 1)
    drawn = matches.side_by_side(
        image0, image1, match, hidden=_hidden_count(match), seed=seed, scale=scale
    )
    measured = agreement.of_pair(image0, image1, match)
    tiles = Tiles(
        target=picture(image0, TILE_SIDE),
        warped=picture(overlay.warp(image0, image1, match), TILE_SIDE),
        difference=picture(overlay.difference(image0, image1, match), TILE_SIDE),
        verdicts=picture(overlay.verdicts(image0, match), TILE_SIDE),
        confidence=picture(overlay.confidence(image0, match), TILE_SIDE),
    )
    return PairPictures(a, b, rotation_deg, measured, picture(drawn), tiles)


def _hidden_count(match: Correspondence) -> int:
    """Hidden points to draw, in proportion to the seen ones, but a few where there are any."""
    seen, hidden = (match.share(v) for v in (Verdict.VISIBLE, Verdict.OCCLUDED))
    proportion = hidden / seen if seen else 1.0
    return int(np.clip(round(matches.VISIBLE_DRAWN * proportion), 3, matches.HIDDEN_DRAWN))
