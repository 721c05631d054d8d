"""Files of a ScanNet++ scene, by the images of its model, and those that no frame uses."""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape
from pathlib import Path

from cameo_data.io import colmap_files
from cameo_data.sources.colmap.model import ModelImage
from cameo_data.sources.common.unused import relative, unused_files
from cameo_data.types import Unused

# device -> (images, masks)
FOLDERS = {"dslr": ("resized_images", "resized_anon_masks"), "iphone": ("rgb", "rgb_masks")}


def png_of(image: ModelImage) -> str:
    """Name of the mask or depth map of an image."""
    return f"{Path(image.name).stem}.png"


def unused(
    scene: Path,
    device: str,
    images: Sequence[ModelImage],
    chosen: Sequence[ModelImage],
    depth_folder: Path | None,
) -> tuple[Unused, ...]:
    """Files of the device that belong to none of the ``chosen`` ones among the model's images."""
    depth = [] if depth_folder is None else [depth_folder]
    pictures, masks = FOLDERS[device]

    def files_of(image: ModelImage) -> list[Path]:
        picture = scene / device / pictures / Path(image.name).name
        maps = [folder / png_of(image) for folder in (scene / device / masks, *depth)]
        return [picture, *maps]

    kinds = [
        (f"{device}/{pictures}/*", "pictures that the model does not register"),
        (f"{device}/{masks}/*", "masks of pictures that the model does not register"),
    ]
    for folder in depth:
        where = escape(relative(scene, folder))
        kinds.append((f"{where}/*", "depth maps of pictures that the model does not register"))
    every = (*colmap_files.MODEL_FILES, *colmap_files.RIG_FILES)
    read = [f"{device}/colmap/{name}.*" for name in every]
    read += [f"{device}/nerfstudio/transforms.json", f"{device}/train_test_lists.json"]
    wanted = {image.name for image in chosen}
    others = [path for image in images if image.name not in wanted for path in files_of(image)]
    return unused_files(
        scene,
        [path for image in chosen for path in files_of(image)],
        kinds,
        read=read,
        left_out={"files of frames flagged as bad or outside the list of -o frames": others},
        within=(device,),
    )
