"""What a COLMAP project's files do not say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cameo_data.sources.source import ExifOption, PictureOptions, exif_field
from cameo_data.types import Unit


class ColmapOptions(PictureOptions):
    """Options of the source ``colmap``."""

    dataset: str = Field("colmap", min_length=1, description="name of the dataset")
    depth: Literal["auto", "geometric", "photometric", "none"] = Field(
        "auto",
        description="which depth maps of a dense workspace: auto takes geometric ones where there "
        "are any; none stores tracks instead",
    )
    depth_pixel_center: Literal["integer", "half"] = Field(
        "integer",
        description="where the first pixel's centre is for the rays of the depth maps: integer "
        "(0, 0) as COLMAP's own, or half (0.5, 0.5) for maps written by other tools",
    )
    masks: str = Field(
        "masks",
        description="folder of masks NAME.png beside the images' folder; black counts as "
        "background; used where it exists",
    )
    matches: str | None = Field(
        None, description="CSV of pixel pairs in each scene's folder, instead of depth and tracks"
    )
    unit: Unit = Field("arbitrary", description="metre if the model was scaled to metres")
    focal_scale: float = Field(
        1.0,
        ge=0.1,
        le=10,
        description="focal length of undistorted images, relative to the stored ones': below 1 "
        "keeps more of a wide view",
    )

    # COLMAP ignores the tag, so that pictures of one camera share intrinsics (docs/conventions.md)
    exif_orientation: ExifOption = exif_field("stored")

    @property
    def wants_depth(self) -> bool:
        """Whether depth maps are read where there are any."""
        return self.depth != "none" and self.matches is None
