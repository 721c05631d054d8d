"""COLMAP projects: sparse models with their images, and dense workspaces with depth maps.

COLMAP has two conventions of where pixels are. Sparse models count from the image's corner: the
top-left pixel's centre is (0.5, 0.5), as inside cameo. Its multi-view stereo takes the same K and
lets the ray of column c, row r be K⁻¹ (c, r, 1) (``ComputePointAtDepth`` in
``mvs/patch_match_cuda.cu``, ``Fuse`` in ``mvs/fusion.cc``): there the top-left pixel's centre is
(0, 0). Depth maps hold for those rays, so frames with depth get cx and cy half a pixel of the depth
map larger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cameo_data.errors import Failure, Reason
from cameo_data.geometry import undistortion
from cameo_data.geometry.sparse_matches import read_pairs
from cameo_data.io import depth_files, files
from cameo_data.io.files import FileDefect
from cameo_data.sources.colmap.model import Model, ModelImage, read_model
from cameo_data.sources.colmap.options import ColmapOptions
from cameo_data.sources.colmap.projects import Project, is_project, projects_in, unused_in
from cameo_data.sources.common import image_sizes
from cameo_data.sources.common.file_listing import is_text, printable
from cameo_data.sources.common.scene_folders import find_scenes, looks_like, nothing_found
from cameo_data.sources.common.stated_paths import StatedPaths, is_absolute, safe_name
from cameo_data.sources.source import SourceSpec
from cameo_data.types import Camera, DepthCodec, DepthRef, Frame, MatchTable, Scene


@dataclass(frozen=True, eq=False)
class ColmapSource:
    """The projects below one folder.

    Attributes:
        folders: folders with projects in them, by name.
        parts: what tells a folder's projects apart, by folder.
    """

    options: ColmapOptions
    folders: Mapping[str, Path]
    parts: Mapping[Path, Sequence[str]]
    failures: Sequence[Failure]

    @property
    def dataset(self) -> str:
        return self.options.dataset

    def scene_ids(self) -> Sequence[str]:
        """A project's folder, and the model in it where it holds several."""
        return [
            f"{name}/{part}" if part else name
            for name, folder in self.folders.items()
            for part in self.parts[folder]
        ]

    def scene(self, scene_id: str) -> Scene:
        words = scene_id.split("/")
        for n in range(len(words), 0, -1):  # a scene's name is its folder's, and perhaps a part
            folder = self.folders.get("/".join(words[:n]))
            part = "/".join(words[n:])
            if folder is not None and part in self.parts[folder]:
                project = projects_in(folder, self.options.wants_depth)[part]
                return read_scene(project, self.options, scene_id)
        raise ValueError(f"unknown scene {scene_id!r}; see `cameo-data inspect`")


def open_colmap(root: Path, options: ColmapOptions) -> ColmapSource:
    """The projects in ``root``, which is one project or a folder of projects.

    Raises:
        DataError: no such folder, or no project in it.
    """
    parts: dict[Path, Sequence[str]] = {}

    def is_scene(folder: Path) -> bool:
        parts[folder] = list(projects_in(folder, options.wants_depth))
        return bool(parts[folder])

    folders, failures = find_scenes(root, options.dataset, is_scene)
    if not folders:
        expected = (
            "sparse/0/{cameras,images,points3D}.bin or .txt beside images/, or a dense workspace "
            "(images/, sparse/, stereo/)"
        )
        remedy = "check the path"
        raise nothing_found(options.dataset, root, "COLMAP model", failures, expected, remedy)
    return ColmapSource(options, folders, parts, failures)


def read_scene(project: Project, options: ColmapOptions, scene_id: str) -> Scene:
    """The frames of one model; of their files only the depth maps' headers are read.

    Raises:
        DataError: the model cannot be read, or its images' folder is not there.
    """
    try:
        files.inside(project.folder, project.model)
        if not project.images.is_dir():
            raise FileDefect(
                Reason.MISSING_FILE,
                f"the folder {project.images.relative_to(project.folder)} is missing",
                "the model's images",
                "copy or link them there by the names in the model",
            )
        paths = StatedPaths(project.images)
        model, lost = _found_again(read_model(project.model), project, paths)
        kind = _depth_kind(project, options, model)
        matches: MatchTable | None = None
        if options.matches is not None:
            path = files.inside(project.folder, project.folder / options.matches)
            matches = read_pairs(path, (image.name for image in model.images))
        elif kind is None:
            matches = model.usable_tracks()
    except FileDefect as defect:
        raise defect.at(options.dataset, scene_id) from None
    frames: dict[str, Frame] = {}
    failures: list[Failure] = []
    for image in model.images:
        try:
            if image.name in frames:
                raise _duplicate(image.name)
            if image.name in lost:
                raise lost[image.name]
            frames[image.name] = _frame(project, options, image, kind)
        except FileDefect as defect:
            frame_id = printable(safe_name(image.name))
            failures.append(defect.at(options.dataset, scene_id, frame_id).failure)
    found = tuple(frames.values())
    return Scene(
        options.dataset,
        scene_id,
        found,
        options.unit,
        tuple(failures),
        matches,
        notes=(*model.notes_without_tracks(), *paths.notes, *image_sizes.exif_notes(found)),
        unused=unused_in(project, options, [image.name for image in model.images], kind),
    )


def _found_again(
    model: Model, project: Project, paths: StatedPaths
) -> tuple[Model, dict[str, FileDefect]]:
    """The model with names from the images' folder, and what is wrong with those not found there.

    Names that are absolute, or start from the folder above, as a tool on another machine wrote
    them, are found by the end of their path.
    """
    names: dict[str, str] = {}
    lost: dict[str, FileDefect] = {}
    for name in (image.name for image in model.images):
        from_above = PurePosixPath(name).parts[:1] == (project.images.name,)
        if is_absolute(name) or (from_above and not _is_there(project.images / name)):
            try:
                names[name] = str(paths.find(name, "image names"))
            except FileDefect as defect:
                lost[name] = defect
    return (model.renamed(names) if names else model), lost


def _frame(project: Project, options: ColmapOptions, image: ModelImage, kind: str | None) -> Frame:
    if not is_text(image.name):
        raise FileDefect(
            Reason.BAD_NAME, "a name with control characters", "printable text", "rename the image"
        )
    path = _checked(project, project.images / image.name, Reason.UNREADABLE_IMAGE)
    lens = None if undistortion.is_pinhole(image.lens) else image.lens
    K, hw = undistortion.pinhole_of(image.lens, options.focal_scale if lens else 1.0)
    depth = None
    if kind is not None and project.depth_maps is not None:
        if lens is not None:
            raise FileDefect(
                Reason.BAD_INTRINSICS,
                f"camera of a dense workspace is {lens.model}",
                "PINHOLE, as image_undistorter makes it",
                "give -o depth=none, or the workspace that belongs to the depth maps",
            )
        depth = _depth(project, project.depth_map(image.name, kind), kind)
        assert depth.hw is not None
        if options.depth_pixel_center == "integer":
            # in pixels of the image: patch_match_stereo may have worked at a reduced size
            K[:2, 2] += 0.5 * hw[1] / depth.hw[1], 0.5 * hw[0] / depth.hw[0]
    mask = project.mask(options.masks, image.name)
    return Frame(
        frame_id=image.name,
        camera=Camera(K, hw, image.pose()),
        image_path=path,
        depth=depth,
        mask_path=_checked(project, mask, Reason.UNREADABLE_IMAGE) if _is_there(mask) else None,
        distortion=lens,
        exif_orientation=options.exif_orientation,
    )


def _depth(project: Project, path: Path, kind: str) -> DepthRef:
    if not _is_there(path):
        raise FileDefect(
            Reason.NO_DEPTH,
            f"there is no {path.name}",
            "a depth map for each image",
            "run patch_match_stereo for it, or leave the frame out",
        )
    hw = depth_files.depth_hw(_checked(project, path, Reason.UNREADABLE_DEPTH), DepthCodec.COLMAP)
    return DepthRef(path, DepthCodec.COLMAP, 1.0, hw=hw, source=f"colmap_{kind}")


def _depth_kind(project: Project, options: ColmapOptions, model: Model) -> str | None:
    """Which depth maps to read; for ``auto``, the first kind that exists."""
    if project.depth_maps is None:
        return None
    kinds = ("geometric", "photometric") if options.depth == "auto" else (options.depth,)
    for kind in kinds:
        maps = (project.depth_map(image.name, kind) for image in model.images)
        if any(_is_there(path) for path in maps):
            return kind
    if options.depth == "auto":
        return None
    raise FileDefect(
        Reason.NO_DEPTH,
        f"{project.depth_maps.name} holds no {options.depth} depth maps",
        "one per image",
        "run patch_match_stereo, or choose another depth (-o depth=auto)",
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than the system allows names no file
        return False


def _checked(project: Project, path: Path, unreadable: Reason) -> Path:
    files.checked_size(files.inside(project.folder, path), files.MAX_FRAME_BYTES, unreadable)
    return path


def _duplicate(name: str) -> FileDefect:
    return FileDefect(
        Reason.DUPLICATE_ID,
        f"image {name} appears twice in the model",
        "each name once",
        "remove one of them",
    )


def _recognise(root: Path) -> bool:
    return looks_like(root, is_project)


def _open(root: Path, options: Any) -> ColmapSource:
    return open_colmap(root, options)


SPEC = SourceSpec(
    name="colmap",
    summary="COLMAP projects: sparse models (tracks as matches) and dense workspaces (depth maps)",
    layout="SCENE/images/, SCENE/sparse/0/{cameras,images,points3D[,rigs,frames]}.{bin,txt}; "
    "dense: SCENE[/dense]/{images,sparse,stereo/depth_maps/NAME.{geometric,photometric}.bin}",
    conventions="cam_from_world, OpenCV axes, arbitrary scale, first pixel's centre at (0.5, 0.5) "
    "in models and at (0, 0) for depth maps; every camera model is undistorted",
    licence="as the images'; COLMAP itself is BSD",
    download="your own, by COLMAP (https://colmap.github.io); sample data at "
    "https://demuc.de/colmap/datasets",
    options=ColmapOptions,
    open=_open,
    recognise=_recognise,
    is_scene=is_project,
)
