"""What the check says to do is done, and mends; what is only better is not called a remedy."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from check_recordings import COUNT, K, checked, right, shots, with_poses, write
from click.testing import CliRunner
from PIL import Image
from scipy.spatial.transform import Rotation

from cameo_data import transforms
from cameo_data.check import Suspect
from cameo_data.check.figures import MOST_EPIPOLAR, TAIL, Figures
from cameo_data.check.fixes import MISTAKES, fix_of
from cameo_data.check.matching import MatchedPair
from cameo_data.check.odd import odd_frames
from cameo_data.check.suspects.poses import quarter_turns
from cameo_data.cli import main


def run(folder: Path, options: dict[str, Any]) -> Any:
    flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    small = ["--views", COUNT, "--pairs", 9]
    return CliRunner().invoke(main, [str(x) for x in ("check", "rgbd", folder, *flags, *small)])


def test_a_quarter_turn_is_undone_by_the_matrix_that_the_line_gives(tmp_path: Path) -> None:
    turned = with_poses(lambda m: m @ transforms.invert(quarter_turns(1)))(right())
    result = run(tmp_path / "turned", write(tmp_path / "turned", turned))
    assert result.exit_code == 1
    (line,) = re.findall(r"apply: .*", result.stdout)
    axes = np.eye(4)
    axes[:3, :3] = json.loads(re.findall(r"\[\[.*\]\]", line)[0])
    mended = with_poses(lambda m: transforms.invert(axes @ transforms.invert(m)))(turned)
    result = run(tmp_path / "mended", write(tmp_path / "mended", mended))
    assert result.exit_code == 0, result.stdout


def test_another_order_of_quaternions_is_given_as_columns(tmp_path: Path) -> None:
    options = write(tmp_path / "scene", right())
    lines = []
    for shot in shots():
        pose = shot.camera.world_from_cam
        wxyz = np.roll(Rotation.from_matrix(pose[:3, :3]).as_quat(), 1)
        lines.append(" ".join(f"{x:.9g}" for x in (*pose[:3, 3], *wxyz)))
    (tmp_path / "scene/poses.txt").write_text("\n".join(lines) + "\n")
    options["pose_columns"] = "tx ty tz qx qy qz qw"
    check, found, given = checked(tmp_path / "scene", options)
    assert found == ["quaternion_order"], check.complaints
    assert given == {"pose_columns": "tx ty tz qw qx qy qz"}
    mended, still, _ = checked(tmp_path / "scene", {**options, **given})
    assert (mended.verdict, still) == ("consistent", [])


def test_depth_of_another_aspect_gets_intrinsics_of_its_own(tmp_path: Path) -> None:
    """Square depth of the middle of 4:3 pictures, which would be stretched over them."""
    whole = right()
    square = replace(whole, stored=tuple(depth[:, 25:175] for depth in whole.stored))
    options = write(tmp_path / "scene", square)
    refused = run(tmp_path / "scene", options)
    assert refused.exit_code != 0
    assert "give the depth camera's own intrinsics" in refused.output
    given = {"depth_intrinsics": "170,170,75,75"}
    mended, still, _ = checked(tmp_path / "scene", {**options, **given})
    assert (mended.verdict, still) == ("consistent", [])


def test_the_quotes_of_an_option_with_spaces_are_those_of_a_shell() -> None:
    values = {"read_as": "wxyz"}
    current = {"pose_columns": "t qw qx qy qz tx ty tz"}
    fix = fix_of(Suspect.QUATERNION_ORDER, values, current, None)  # type: ignore[arg-type]
    assert fix.text == "-o pose_columns='t qx qy qz qw tx ty tz'"


def test_pictures_with_an_orientation_are_read_the_other_way(tmp_path: Path) -> None:
    from cameo_data.types import Camera, Frame

    picture = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "tagged.jpg", exif=exif)
    picture.save(tmp_path / "plain.jpg")
    frame = Frame("a", Camera(K, (4, 6)), tmp_path / "tagged.jpg")
    values = {"turn_deg": 90}
    current = {"exif_orientation": "stored"}
    fix = fix_of(Suspect.PICTURES_TURNED, values, current, frame)
    assert fix.options == {"exif_orientation": "displayed"}
    plain = replace(frame, image_path=tmp_path / "plain.jpg")
    fix = fix_of(Suspect.PICTURES_TURNED, values, current, plain)
    assert (fix.options, fix.line) == (
        {}, "turn the pictures back by 90° counter-clockwise before export")  # fmt: skip


def figures(**changes: Any) -> Figures:
    nothing = dict.fromkeys(Figures.__dataclass_fields__)
    return Figures(**{**nothing, "diagonal_px": 1000.0, **changes})


def test_neither_the_median_pair_nor_the_tail_may_be_bad() -> None:
    most = MOST_EPIPOLAR * 1000
    assert not figures(epipolar_px=0.9 * most, epipolar_within=0.7).complaints()
    (median,) = figures(epipolar_px=192.0, epipolar_within=0.45).complaints()
    assert median == "epipolar distance 192.0 px; at most 6.0 expected"
    (tail,) = figures(epipolar_px=0.9 * most, epipolar_within=0.55).complaints()
    assert tail == (
        f"epipolar distance above {TAIL * most:.1f} px in 45 % of pairs; in at most 40 % expected"
    )
    (tracks,) = figures(tracks_px=30.0, tracks_within=0.1).complaints()
    assert tracks.startswith("epipolar distance of tracks 30.0 px")


def complete_scores(views: int, bad: dict[int, float]) -> tuple[np.ndarray, list[MatchedPair]]:
    """Of all pairs of views, 1 px each but for pairs of the views that are ``bad``."""
    none = np.zeros((0, 2))
    pairs = [MatchedPair(a, b, none, none) for a in range(views) for b in range(a + 1, views)]
    scores = np.full((len(pairs), 5), np.nan)
    scores[:, 0] = [np.log(max(1.0, bad.get(p.a, 0), bad.get(p.b, 0))) for p in pairs]
    return scores, pairs


@pytest.mark.parametrize("bad", [(), (3,), (1, 4)])
def test_odd_frames_are_those_whose_pairs_are_bad(bad: tuple[int, ...]) -> None:
    scores, pairs = complete_scores(7, dict.fromkeys(bad, 40.0))
    found = odd_frames(scores, pairs, diagonal_px=500.0)
    assert sorted(odd.view for odd in found) == sorted(bad)
    assert all((odd.part, odd.value) == ("pose", pytest.approx(40)) for odd in found)


def test_no_frame_is_odd_where_most_are() -> None:
    scores, pairs = complete_scores(7, dict.fromkeys((0, 1, 2, 3), 40.0))
    assert odd_frames(scores, pairs, diagonal_px=500.0) == []


def test_pairs_that_match_wrongly_make_no_frame_odd() -> None:
    """Repeated patterns: a quarter of the pairs is bad, of no frame three quarters."""
    scores, pairs = complete_scores(7, {})
    scores[::4, 0] = np.log(50.0)
    assert odd_frames(scores, pairs, diagonal_px=500.0) == []


def test_a_mistake_that_does_not_mend_has_no_apply_line(tmp_path: Path) -> None:
    """Inverted, and shaken: better without the inversion, but bad."""
    rng = np.random.default_rng(4)

    def shaken(pose: np.ndarray) -> np.ndarray:
        turn = np.eye(4)
        turn[:3, :3] = Rotation.from_rotvec(rng.normal(0, 0.06, 3)).as_matrix()
        return np.asarray(transforms.invert(turn @ pose))

    options = write(tmp_path / "scene", with_poses(shaken)(right()))
    result = run(tmp_path / "scene", options)
    assert result.exit_code == 1
    assert "apply:" not in result.stdout
    assert "no usual mistake explains it" in result.stdout


def test_every_mistake_is_described_once() -> None:
    descriptions = [mistake.description for mistake in MISTAKES.values()]
    assert len(set(descriptions)) == len(descriptions) == len(Suspect)


def test_the_page_lists_every_mistake_by_its_name() -> None:
    page = (Path(__file__).parents[1] / "docs/check.md").read_text("utf-8")
    table = page.split("| `name` | mistake |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (.+) \|$", table, re.M)
    assert dict(rows) == {str(name): mistake.description for name, mistake in MISTAKES.items()}
    assert len(rows) == len(Suspect)
