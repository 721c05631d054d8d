"""RealEstate10K: camera files with frames as images, videos or pixelSplat's chunks.

The dataset ships cameras only; frames are taken from public videos, and depth comes from users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.io.files import FileDefect
from cameo_data.sources.common.file_listing import printable
from cameo_data.sources.common.scene_folders import known
from cameo_data.sources.common.unused import frame_files, of_names, unused_files
from cameo_data.sources.realestate10k import cameras as camera_lines
from cameo_data.sources.realestate10k import files as clip_files
from cameo_data.sources.realestate10k.cameras import CameraLine, Fit
from cameo_data.sources.realestate10k.files import Clip, Clips
from cameo_data.sources.realestate10k.images import ClipImages, Match, open_clip, open_depths
from cameo_data.sources.source import PictureOptions, SourceSpec
from cameo_data.types import DepthRef, Frame, Scene, Unused


class RealEstate10KOptions(PictureOptions):
    """Options: where the parts are, and how frames were made from the film."""

    dataset: str = Field("realestate10k", min_length=1, description="name in samples and messages")
    split: Literal["train", "val", "test"] | None = Field(
        None, description="only the clips below this folder: train, val or test"
    )
    cameras: str | None = Field(
        None,
        description="folder of the camera files; by default the root, "
        + ", ".join(clip_files.CAMERA_FOLDERS[1:]),
    )
    frames: str | None = Field(
        None,
        description="folder of CLIP/TIMESTAMP.jpg or CLIP.mp4; by default "
        + ", ".join(clip_files.FRAME_FOLDERS)
        + ", or beside the camera files",
    )
    frame_fit: Fit = Field(
        "stretched",
        description="how frames whose aspect is not the film's (fy/fx) were made: stretched, or "
        "cropped about the middle",
    )
    match: Match = Field(
        "timestamp",
        description="how images match lines: by the timestamp in the name, or by order of names "
        "(videos always by order)",
    )
    depth: str = Field("depth", description="folder of CLIP/TIMESTAMP.png, .npy, .npz or .h5")
    depth_scale: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="scene units per stored depth unit  [default: 0.001 for .png, else 1]",
    )
    depth_source: str = Field("estimated", min_length=1, description="what samples call the depth")


class RealEstate10KSource:
    """The clips below a folder.

    Raises:
        DataError: the folder is missing, or holds no clip with frames.
    """

    def __init__(self, root: Path, options: RealEstate10KOptions) -> None:
        self.dataset = options.dataset
        self._root, self._options = root, options
        try:
            clips = clip_files.find_clips(root, options.cameras, options.frames, options.split)
        except FileDefect as defect:
            raise defect.at(self.dataset, None) from None
        self._clips = self._checked(clips).found
        self.failures: Sequence[Failure] = tuple(self._without_frames(clips))

    def scene_ids(self) -> Sequence[str]:
        """``CLIP``, or ``train/CLIP`` where the camera files are in folders of splits."""
        return list(self._clips)

    def scene(self, scene_id: str) -> Scene:
        """The clip's frames; a few headers are read.

        Raises:
            DataError: the camera file or the frames as a whole cannot be used.
        """
        clip, options = known(self._clips, scene_id), self._options
        try:
            cameras, images = open_clip(clip, options.match, options.exif_orientation)
            depths = open_depths(
                self._root / options.depth,
                clip,
                cameras.lines,
                images.hw,
                options.depth_scale,
                options.depth_source,
            )
        except FileDefect as defect:
            raise defect.at(self.dataset, scene_id) from None
        frames: dict[int, Frame] = {}
        failures = [
            defect.at(self.dataset, scene_id, f"line {number + 1}").failure
            for number, defect in cameras.broken.items()
        ]
        failures += [self._unasked(scene_id, path) for path in images.extra]
        for line in cameras.lines:
            try:
                if line.timestamp_us in frames:
                    raise _duplicate(line.timestamp_us)
                frames[line.timestamp_us] = self._frame(line, images, depths)
            except FileDefect as defect:
                frame_id = str(line.timestamp_us)
                failures.append(defect.at(self.dataset, scene_id, frame_id).failure)
        ordered = tuple(frame for _, frame in sorted(frames.items()))
        times = [line.timestamp_us for line in cameras.lines]
        unused = self._unused(clip, [*frame_files(ordered), *images.extra], times)
        return Scene(self.dataset, scene_id, ordered, "arbitrary", tuple(failures), unused=unused)

    def _unused(
        self, clip: Clip, named: Sequence[Path], timestamps: Sequence[int]
    ) -> tuple[Unused, ...]:
        """Depth without a line, and unused files in the clip's folder of pictures."""
        wanted = set(timestamps)
        depth = clip_files.list_depth(self._root / self._options.depth, clip)
        alone = [
            path.name
            for stem, path in depth.items()
            if not stem.isdecimal() or int(stem) not in wanted
        ]
        found: tuple[Unused, ...] = ()
        if alone:
            what = "depth maps that match no line of the camera file"
            found = (of_names(what, len(alone), sorted(alone)),)
        if clip.frames is not None and clip.frames.is_dir():
            found += unused_files(clip.frames, named, ())
        return found

    def _frame(self, line: CameraLine, images: ClipImages, depths: dict[int, DepthRef]) -> Frame:
        path, index = images.of(line)
        depth = depths.get(line.timestamp_us)
        if depth is not None and depth.hw is not None:
            # the film's depth, whatever was done to its pictures
            own_K = camera_lines.depth_K(line, depth.hw, images.hw)
            depth = replace(depth, camera_K=own_K)
        return Frame(
            frame_id=str(line.timestamp_us),
            camera=camera_lines.camera(line, images.hw, self._options.frame_fit),
            image_path=path,
            depth=depth,
            timestamp=line.timestamp_us / 1e6,
            image_index=index,
            exif_orientation=self._options.exif_orientation,
        )

    def _checked(self, clips: Clips | None) -> Clips:
        """The clips, once there are some with frames."""
        if clips is not None and clips.found:
            return clips
        found = f"{printable(str(self._root))} is not a folder"
        remedy = "check the path"
        if clips is not None:
            count = len(clips.without_frames)
            found = f"{count} camera files and no frames for them"
            remedy = "extract frames from the videos, or name their folder (-o frames=…)"
        elif self._root.is_dir():
            found = f"no camera file of RealEstate10K in {printable(str(self._root))}"
            remedy = "name the folder of camera files (-o cameras=…)"
        raise DataError(
            Reason.MISSING_FILE,
            dataset=self.dataset,
            found=found,
            expected="CLIP.txt with CLIP/TIMESTAMP.jpg or CLIP.mp4, or chunks with index.json",
            remedy=remedy,
        )

    def _without_frames(self, clips: Clips | None) -> Iterator[Failure]:
        """One failure for all clips that lack frames: there may be 70 000."""
        missing = clips.without_frames if clips is not None else ()
        if missing:
            yield Failure(
                reason=Reason.MISSING_FILE,
                dataset=self.dataset,
                scene_id=None,
                frame_id=None,
                found=f"{len(missing)} of {len(missing) + len(self._clips)} camera files have no "
                f"frames (first: {missing[0]})",
                expected="a folder of images or a video each",
                remedy="get their frames, or leave them out by removing the camera files",
            )

    def _unasked(self, scene_id: str, path: Path) -> Failure:
        return Failure(
            reason=Reason.UNASSOCIATED,
            dataset=self.dataset,
            scene_id=scene_id,
            frame_id=printable(path.stem),
            found=f"{printable(path.name)} matches no line of the camera file",
            expected="images named by the lines' timestamps",
            remedy="remove it",
        )


def _duplicate(timestamp: int) -> FileDefect:
    return FileDefect(
        Reason.DUPLICATE_ID,
        f"timestamp {timestamp} appears twice in the camera file",
        "each once",
        "remove one of the lines",
    )


def _open_source(root: Path, options: Any) -> RealEstate10KSource:
    return RealEstate10KSource(root, options)


SPEC = SourceSpec(
    name="realestate10k",
    summary="RealEstate10K: camera files, with frames as images, videos or .torch chunks",
    layout="[train|val|test/]CLIP.txt (in the root, RealEstate10K/, pose_files/, cameras/ or "
    "poses/); frames/[SPLIT/]CLIP/TIMESTAMP.jpg or CLIP.mp4 (frames/, images/, rgb/, videos/, "
    "video_clips/, reference_videos/ or beside the camera files); depth, where you have made it: "
    "depth/[SPLIT/]CLIP/TIMESTAMP.png (16 bit), .npy, .npz or .h5; or pixelSplat's "
    "[SPLIT/]index.json with 000000.torch",
    conventions="world-to-camera 3×4, OpenCV axes, arbitrary scale; intrinsics divided by width "
    "and height, so they hold for resized and stretched frames; depth is z, in the poses' unit",
    licence="camera files CC BY 4.0 (Google); the videos belong to their makers",
    download="google.github.io/realestate10k/download.html",
    options=RealEstate10KOptions,
    open=_open_source,
    recognise=clip_files.looks_like,
)
