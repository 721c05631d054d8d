"""What ``transforms.json`` leaves open, or says in a way that a person may overrule."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cameo_data.sources.source import PictureOptions
from cameo_data.types import Unit

Axes = Literal["stated", "opengl", "opencv"]
FocalChoice = Literal["agreed", "pixels", "angle"]
AngleSide = Literal["own", "longer"]


class NerfstudioOptions(PictureOptions):
    """What the files leave open."""

    dataset: str = Field("nerfstudio", min_length=1, description="name in samples and messages")
    file: str | None = Field(
        None,
        pattern=r"^[^/\\]+\.json$",
        description="name of the file to read, where a scene has several: transforms_left.json  "
        "[default: transforms.json, else transforms_train.json with _val and _test, else the one "
        "file called transforms*.json]",
    )
    split: Literal["train", "val", "test"] | None = Field(
        None,
        description="only these frames: of transforms_train.json, or that train_filenames lists; "
        "where the file has test_frames, test is those and train the others",
    )
    skip_bad: bool = Field(True, description="leave out frames that the file flags as is_bad")
    images: str | None = Field(
        None,
        pattern=r"^[^/\\]+$",
        description="folder to read images from in place of the stated one, such as images_4; by "
        "default the first of images_2, images_4 … where the stated folder is missing",
    )
    axes: Axes = Field(
        "stated",
        description="axes of the posed cameras: opengl (x right, y up, looking along −z), opencv "
        "(x right, y down, z forward), or stated: the file's camera_convention, else opengl",
    )
    world: Literal["stored", "original"] = Field(
        "stored",
        description="stored: poses as in the file; original: before its applied_transform and "
        "applied_scale, as in the COLMAP model it came from",
    )
    focal: FocalChoice = Field(
        "agreed",
        description="what to believe where both are stated: pixels (fl_x) or angle "
        "(camera_angle_x, x_fov); agreed: either, once they agree",
    )
    angle_side: AngleSide = Field(
        "own",
        description="side that camera_angle_x is the field of view of: own (the width) or longer "
        "(the longer side, as Blender has it)",
    )
    unit: Unit | None = Field(
        None,
        description="unit of the poses: metre or arbitrary  [default: metre where the file's "
        "scale_type is metric, else arbitrary]",
    )
    depth: str = Field(
        "depth",
        min_length=1,
        pattern=r"^[^/\\]+$",
        description="folder of the scene with depth maps for entries that name none; the maps are "
        "named like the images",
    )
    depth_scale: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="scene units per stored depth unit  [default: for depth that entries name, the "
        "file's integer_depth_scale or depth_unit_scale_factor, else 0.001; for other depth, 0.001 "
        "for .png, else 1]",
    )
    depth_source: str = Field("sensor", min_length=1, description="what samples call the depth")
