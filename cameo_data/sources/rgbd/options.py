"""What an RGB-D recording needs to be read: one model for layouts, files and flags."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, create_model, field_validator

from cameo_data.geometry.undistortion import COEFFICIENT_COUNTS
from cameo_data.sources.common import trajectories
from cameo_data.sources.source import CodecOption, PictureOptions
from cameo_data.types import DepthCodec

DESCRIPTION_FILE = "rgbd.yaml"  # in a scene's folder; its keys are those of options


def _joined(value: Any) -> Any:
    """Numbers given as a YAML list, as the text that a flag would give."""
    if isinstance(value, (list, tuple)):
        return ",".join(str(v) for v in np.ravel(value).tolist())
    return value


def _numbers(value: Any) -> Any:
    """Numbers given as a flag's text ``1,2,3``, as a list."""
    if isinstance(value, str):
        return [word for word in re.split(r"[,\s]+", value.strip()) if word]
    return [value] if isinstance(value, (int, float)) else value


Numbers = Annotated[tuple[float, ...], BeforeValidator(_numbers)]
NumbersOrFile = Annotated[str, BeforeValidator(_joined)]


class Recording(PictureOptions):
    """How one recording is stored and what its numbers mean. Paths are relative to the scene.

    A pattern names files of one folder, ``*`` standing for the frame's name and ``{a,b}`` for
    either: ``color/*.{jpg,png}``. An index is a text file of lines ``timestamp file``.
    """

    color: str = Field(description="pattern of the colour images, or an index file")
    depth: str = Field(description="pattern of the depth images, or an index file")
    mask: str | None = Field(None, description="pattern of foreground masks")
    pair_by: Literal["name", "number", "order", "time"] = Field(
        "name",
        description="what makes colour and depth one frame: the name at *, the first number in "
        "the file's name, the order of sorted names, or the time in an index or at *",
    )
    max_time_difference: float = Field(
        0.02,
        gt=0,
        description="largest difference of paired times in seconds, whatever the files' unit",
    )
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = Field(
        "auto",
        description="unit of all times in names, indices and pose files: s, ms, us or ns; auto "
        "infers it from their size and spacing, and fails where it cannot",
    )
    poses: str = Field(description="pattern of one pose file per frame, or one file for all")
    pose_columns: str = Field(
        "matrix",
        description="columns of a pose line: any order of tx ty tz qx qy qz qw, or matrix (12 or "
        "16 numbers), with t or name before or after, _ for others; or log (Open3D's .log)",
    )
    pose_direction: Literal["world_from_cam", "cam_from_world"] = Field(
        "world_from_cam", description="which way poses point: world_from_cam or cam_from_world"
    )
    pose_axes: Literal["opencv", "opengl"] = Field(
        "opencv", description="axes of the posed cameras: opencv or opengl"
    )
    pose_camera: Literal["color", "depth"] = Field(
        "color", description="camera that the poses belong to: color or depth"
    )
    intrinsics: NumbersOrFile = Field(
        description="fx,fy,cx,cy of colour, or a file (3×3 or 4×4 text, Open3D's json)"
    )
    intrinsics_size: str | None = Field(
        None,
        pattern=r"^[1-9]\d{0,4}x[1-9]\d{0,4}$",
        description="WIDTHxHEIGHT that the intrinsics are for, if the images have been resized",
    )
    pixel_center: Literal["integer", "half"] = Field(
        "integer",
        description="where the first pixel's centre is in K: integer (0, 0) or half (0.5, 0.5)",
    )
    camera_model: str = Field(
        "opencv", description="model of the colour camera: pinhole, or opencv with its distortion"
    )
    distortion: Numbers = Field((), description="OpenCV's k1,k2,p1,p2[,k3…] of the colour camera")
    depth_codec: CodecOption = Field(
        DepthCodec.UINT16, description=f"encoding: {', '.join(DepthCodec)}"
    )
    depth_scale: float = Field(
        0.001, gt=0, allow_inf_nan=False, description="scene units per stored depth unit"
    )
    depth_invalid: Numbers = Field(
        (), description="stored values that mean no depth, as 0, NaN and infinity always do"
    )
    depth_intrinsics: NumbersOrFile | None = Field(
        None, description="like intrinsics, for a depth camera that differs"
    )
    color_from_depth: NumbersOrFile | None = Field(
        None, description="tx,ty,tz or a 3×4 or 4×4 matrix or a file: from depth to colour camera"
    )
    unit: Literal["metre", "arbitrary"] = Field(
        "metre", description="unit of depth and poses: metre or arbitrary"
    )

    @field_validator("color", "depth", "mask", "poses")
    @classmethod
    def _relative(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        folder, _, name = pattern.rpartition("/")
        if folder.startswith("/") or ".." in folder.split("/") or not name or "*" in folder:
            raise ValueError("expected a path inside the scene, with * in the file's name only")
        if name.count("*") > 1:
            raise ValueError("expected at most one *")
        return pattern

    @field_validator("pose_columns")
    @classmethod
    def _columns(cls, text: str | None) -> str | None:
        if text is not None and text != "log":
            trajectories.parse_columns(text)
        return text

    @field_validator("distortion")
    @classmethod
    def _coefficients(cls, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if values and (len(values) not in COEFFICIENT_COUNTS or not np.isfinite(values).all()):
            raise ValueError(f"expected {', '.join(map(str, COEFFICIENT_COUNTS))} finite numbers")
        return values


def _optional(model: type[Recording]) -> dict[str, Any]:
    """The model's fields, each of which may be left out (None)."""
    fields = {}
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        for constraint in field.metadata:
            kind = Annotated[kind, constraint]
        note = f"  [default: {field.default}]" if field.default else ""
        text = f"{field.description}{'' if field.is_required() else note}"
        fields[name] = (kind | None, Field(None, description=text))
    return fields


# Every key of ``Recording`` may be given by a flag or by rgbd.yaml; None leaves it to the layout.
_Partial: Any = create_model("_Partial", __base__=Recording, **_optional(Recording))


class RgbdOptions(_Partial):  # type: ignore[misc]
    """Options of the source ``rgbd``: what to call the data, its layout, and any key of it."""

    dataset: str = Field("rgbd", min_length=1, description="name in samples and messages")
    layout: Literal["auto", "7scenes", "tum", "scannet", "open3d", "dvmvs", "custom"] = Field(
        "auto", description="auto, 7scenes, tum, scannet, open3d, dvmvs or custom"
    )

    def given(self) -> dict[str, Any]:
        """The keys of ``Recording`` that are set."""
        return dict(self.model_dump(exclude_none=True, exclude={"dataset", "layout"}))
