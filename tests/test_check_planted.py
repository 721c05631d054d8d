"""Every mistake of the benchmark's table, planted once; no scene of any kind is blamed wrongly.

``python -m benchmarks check`` measures every mistake in every scene.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.check.plants import PLANTS
from benchmarks.check.scenes import FRAMES, SCENES, Capture, Shot, capture, written
from benchmarks.check.table import NOTHING, checked, outcome
from cameo_data.check import Suspect, check_scene
from cameo_data.check.fixes import MISTAKES
from cameo_data.check.matching import match_pairs
from cameo_data.check.views import read_views
from cameo_data.io import depth_files
from cameo_data.io.files import FileDefect

# Half a pixel is less than what out-of-focus features and tracks are off by.
SHARP = {"half a pixel"}


def scene_for(plant: str) -> str:
    """One scene for each mistake: without depth where that suffices, which is quick."""
    return "room" if PLANTS[plant][2] or plant in SHARP else "tracks"


@pytest.mark.parametrize("scene", SCENES)
def test_no_right_scene_is_blamed(scene: str) -> None:
    check = checked(scene)
    assert (check.verdict, check.complaints, check.mistakes) == ("consistent", (), ())


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_mistake_is_named(plant: str) -> None:
    check = checked(scene_for(plant), plant, pairs=18)
    assert outcome(check, plant) == "named", (check.complaints, check.mistakes, check.partial)


def test_every_suspect_is_described_and_planted() -> None:
    assert set(MISTAKES) == set(Suspect)
    assert {suspect for _, names, _ in PLANTS.values() for suspect in names} == set(Suspect)


def test_all_codecs_of_16_bits_read_the_same_file_and_no_other_does(tmp_path: Path) -> None:
    """So that every codec mistaken for another is suspected, and none that does not exist."""
    path = tmp_path / "depth.png"
    cv2.imwrite(str(path), np.arange(12, dtype=np.uint16).reshape(3, 4) + 600)

    def reads(codec: str) -> bool:
        try:
            return depth_files.CODECS[codec](path).shape == (3, 4)
        except FileDefect:
            return False

    reading = {codec for codec in depth_files.CODECS if reads(codec)}
    assert reading == set(depth_files.CODECS_OF_16_BITS)
    assert "float16_png" in reading


def with_gripper(taken: Capture) -> Capture:
    """The lower third of every picture shows what moves with the camera."""
    rng = np.random.default_rng(3)
    thing = np.kron(rng.integers(0, 255, (10, 40, 3)), np.ones((5, 5, 1))).astype(np.uint8)

    def held(shot: Shot) -> Shot:
        rgb = shot.rgb.copy()
        rgb[-50:] = thing
        z = None if shot.z is None else np.where(np.arange(len(shot.z))[:, None] < 100, shot.z, 0)
        return replace(shot, rgb=rgb, z=None if z is None else z.astype(np.float32))

    return replace(taken, taken=tuple(held(shot) for shot in taken.taken))


def test_what_moves_with_the_camera_is_no_evidence(tmp_path: Path) -> None:
    scene = written(with_gripper(capture("room")), tmp_path / "scene")
    views, _ = read_views(scene, range(FRAMES))
    pairs = match_pairs(views, 24, 0)
    rows = np.concatenate([pair.xy_a[:, 1] for pair in pairs])
    assert len(rows) > 500
    assert np.mean(rows > 104) < 0.02  # SIFT's patches reach a few pixels across the border
    assert check_scene(scene, views=FRAMES, pairs=18).verdict == "consistent"


def test_a_mistake_is_named_beside_what_moves_with_the_camera(tmp_path: Path) -> None:
    planted = PLANTS["poses inverted"][0](with_gripper(capture("room")))
    check = check_scene(written(planted, tmp_path / "scene"), views=FRAMES, pairs=18)
    assert [mistake.suspect for mistake in check.mistakes] == [Suspect.POSES_INVERTED]


def test_a_frame_that_disagrees_is_named_by_its_id(tmp_path: Path) -> None:
    check = checked("tracks", "two poses exchanged")
    assert [line.split(" disagrees")[0] for line in sorted(check.complaints)] == [
        "frame 002",
        "frame 006",
    ]
    assert check.mistakes[0].values == {"frames": ("002", "006")}
    of_depth = checked("room", "depth of a neighbour", pairs=18)
    (complaint,) = of_depth.complaints
    assert complaint.startswith("the depth of frame 005 disagrees with the others'")
    assert of_depth.mistakes[0].values == {"copies": (("005", "004"),), "owners": ()}


def test_what_no_suspect_mends_is_not_explained(tmp_path: Path) -> None:
    """Cameras shaken by 8° each: much is better than that, nothing is good."""
    rng = np.random.default_rng(7)
    taken = capture("room")

    def shaken(shot: Shot) -> Shot:
        pose = np.array(shot.cam_from_world)
        pose[:3] = cv2.Rodrigues(rng.normal(0, np.radians(8), 3))[0] @ pose[:3]
        return replace(shot, cam_from_world=pose)

    planted = replace(taken, taken=tuple(shaken(shot) for shot in taken.taken))
    check = check_scene(written(planted, tmp_path / "scene"), views=FRAMES, pairs=18)
    assert check.verdict == "inconsistent"
    assert check.mistakes == ()


def test_a_scene_without_mistake_has_an_outcome_too() -> None:
    assert outcome(checked("tracks"), NOTHING) == "consistent"
