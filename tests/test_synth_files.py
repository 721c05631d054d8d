"""``cameo-data synth``: what is written, the same by any way, whole or not at all."""

import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cameo_data.cli import main
from cameo_data.errors import DataError
from cameo_data.geometry import raycast
from cameo_data.synth import exact, generate, job, render
from cameo_data.types import Verdict

HW = (32, 48)


def plan(scenes=3, seed=4, frames=3, **options):
    options = {"kind": "mixed", "path": "mixed", "hw": HW, "samples": 2, **options}
    return generate.plan(scenes, seed=seed, frames=frames, **options)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "scenes"
    generate.write_scenes(out, plan(), workers=1, oracle_stride=8)
    return out


def run(*arguments):
    return CliRunner().invoke(main, ["synth", *map(str, arguments)])


def test_the_bytes_depend_on_the_seed_and_not_on_the_workers(written, tmp_path):
    generate.write_scenes(tmp_path / "many", plan(), workers=4, oracle_stride=8)
    assert contents(tmp_path / "many") == contents(written)
    generate.write_scenes(tmp_path / "other", plan(seed=5), workers=4, oracle_stride=8)
    mine, others = contents(tmp_path / "many"), contents(tmp_path / "other")
    assert mine.keys() == others.keys()
    differing = {name for name in mine if mine[name] != others[name]}
    assert differing >= {name for name in mine if name.endswith((".png", "scene.json"))}


def test_a_set_grows_without_changing(written, tmp_path):
    out = tmp_path / "scenes"
    generate.write_scenes(out, plan(2), oracle_stride=8)
    before = contents(out)
    report = generate.write_scenes(out, plan(3), oracle_stride=8)
    assert report.kept == ("objects-0000", "room-0001")
    assert report.written == ("outdoor-0002",)
    assert report.images == 3
    assert contents(out) == contents(written)
    assert before.items() <= contents(out).items()


def test_files_hold_what_was_rendered(written):
    folder = written / "room-0001"
    stage, views = exact.load(folder)
    for frame_id, camera in views.items():
        picture = render.render(stage, camera, samples=2)
        stored = cv2.imread(str(folder / "images" / f"{frame_id}.png"))[..., ::-1]
        np.testing.assert_array_equal(stored, picture.image)
        z = np.load(folder / "depth" / f"{frame_id}.npy", allow_pickle=False)
        assert z.dtype == np.float32
        np.testing.assert_array_equal(z, picture.z)


def test_scenes_read_back_are_the_scenes_made(written):
    for settings in plan():
        stage, views = generate.make_scene(settings)
        again, views_again = exact.load(written / settings.scene_id)
        assert again.surfaces == stage.surfaces
        assert again.sky == stage.sky
        for a, b in zip(stage.primitives, again.primitives, strict=True):
            assert (a.kind, a.surface) == (b.kind, b.surface)
            np.testing.assert_array_equal(a.world_from_object, b.world_from_object)
        for a, b in zip(views, views_again.values(), strict=True):
            np.testing.assert_array_equal(a.K, b.K)
            np.testing.assert_array_equal(a.cam_from_world, b.cam_from_world)


def test_the_oracle_on_disk_is_the_oracle(written):
    folder = written / "objects-0000"
    stage, views = exact.load(folder)
    xy = np.load(folder / "oracle-8-xy.npy", allow_pickle=False)
    verdict = np.load(folder / "oracle-8-verdict.npy", allow_pickle=False)
    assert xy.shape == (3, 3, 4, 6, 2)
    assert verdict.shape == (3, 3, 4, 6)
    for a, id0 in enumerate(views):
        for b, id1 in enumerate(views):
            if a == b:
                assert np.isnan(xy[a, b]).all()
                assert (verdict[a, b] == Verdict.NO_DEPTH).all()
                continue
            asked = exact.oracle(folder, id0, id1, stride=8)
            expected = raycast.oracle(stage.primitives, views[id0], views[id1], 8)
            for found in (asked.xy1, xy[a, b]):
                np.testing.assert_array_equal(found, expected.xy1)
            for found in (asked.verdict, verdict[a, b]):
                np.testing.assert_array_equal(found, expected.verdict)


def test_the_oracle_of_an_unknown_frame_or_folder_says_so(written, tmp_path):
    with pytest.raises(ValueError, match="has no frame '9'"):
        exact.oracle(written / "room-0001", "0000", "9")
    with pytest.raises(DataError, match=r"synthetic nowhere: scene.json is missing"):
        exact.oracle(tmp_path / "nowhere", "0", "1")


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("primitives", {"world_from_object": [[0.0] * 4] * 4}, "singular"),
        ("primitives", {"world_from_object": [[1.0, 2.0], [3.0]]}, "inhomogeneous"),
        ("primitives", {"surface": 999}, "has surface 999"),
        ("surfaces", {"pattern": "stripes"}, "unknown pattern 'stripes'"),
        ("surfaces", {"cell": -1.0}, "positive length"),
    ],
)
def test_a_record_of_no_scene_is_one_line(written, tmp_path, part, change, message):
    record = json.loads((written / "room-0001" / "scene.json").read_text())
    record[part][0].update(change)
    (tmp_path / "scene.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"scene\.json does not describe a scene") as caught:
        exact.oracle(tmp_path, "0000", "0001")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_whole_or_absent(tmp_path, monkeypatch):
    render_packed, calls = render.render_packed, []

    def fails_on_the_fifth(*arguments):
        calls.append(None)
        if len(calls) == 5:
            raise OSError(28, "No space left on device", "depth")
        return render_packed(*arguments)

    monkeypatch.setattr(job.render, "render_packed", fails_on_the_fifth)
    with pytest.raises(OSError, match="No space"):
        generate.write_scenes(tmp_path, plan(3), workers=1)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"objects-0000"}
    monkeypatch.undo()
    generate.write_scenes(tmp_path, plan(3))
    generate.write_scenes(tmp_path / "at once", plan(3))
    again = {k: v for k, v in contents(tmp_path).items() if not k.startswith("at once")}
    assert again == contents(tmp_path / "at once")


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    (tmp_path / ".objects-0000.partial" / "images").mkdir(parents=True)
    (tmp_path / ".objects-0000.partial" / "images" / "0099.png").write_bytes(b"half")
    generate.write_scenes(tmp_path, plan(1))
    assert [path.name for path in tmp_path.iterdir()] == ["objects-0000"]
    assert not (tmp_path / "objects-0000" / "images" / "0099.png").exists()


def test_command_writes_and_reports(tmp_path):
    result = run(tmp_path / "s", "--scenes", 2, "--frames", 2, "--size", "48x32", "--samples", 1)
    assert result.exit_code == 0, result.output
    assert "2 scenes with 4 images written to" in result.stdout
    assert "render: 4/4" in result.stderr
    record = json.loads((tmp_path / "s" / "objects-0000" / "scene.json").read_text())
    assert record["settings"]["hw"] == [32, 48]
    result = run(
        tmp_path / "s", "--scenes", 3, "--frames", 2, "--size", "48×32", "--samples", 1, "--json"
    )
    report = json.loads(result.stdout)
    assert report["kept"] == ["objects-0000", "room-0001"]
    assert report["written"] == ["outdoor-0002"]
    assert report["images"] == 2


def test_dry_run_writes_nothing(tmp_path):
    result = run(tmp_path / "s", "--scenes", 9, "--frames", 10, "--size", 100, "--dry-run")
    assert result.exit_code == 0
    assert "would write 9 scenes with 90 images of 100×100" in result.stdout
    assert "(about 5 MB)" in result.stdout
    result = run(tmp_path / "s", "--scenes", 2, "--kind", "room", "--dry-run", "--json")
    assert json.loads(result.stdout)["new"] == ["room-0000", "room-0001"]
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_other_settings_in_the_same_folder_are_refused(written, dry):
    before = contents(written)
    result = run(written, "--scenes", 1, "--frames", 5, "--size", "48x32", "--seed", 4, *dry)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {written}/objects-0000 holds a scene with frames 3, not 5; samples 2, not 12; "
        "remove it or choose another folder\n"
    )
    assert contents(written) == before


def test_a_missing_oracle_is_refused_rather_than_forgotten(written):
    with pytest.raises(ValueError, match="has no oracle of stride 4"):
        generate.write_scenes(written, plan(1), oracle_stride=4)


def test_a_foreign_folder_in_a_scenes_place_is_refused(tmp_path):
    (tmp_path / "objects-0000").mkdir()
    (tmp_path / "objects-0000" / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"objects-0000: scene\.json is missing"):
        generate.write_scenes(tmp_path, plan(1))
    assert (tmp_path / "objects-0000" / "holiday.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "big"), "'big'; expected 512 or 640x480"),
        (("--size", "8"), "expected sides from 16 to 8192 pixels"),
        (("--rotation-range", "0"), "0<x<=180"),
        (("--kind", "cave"), "'cave' is not one of"),
        (("--scenes", "0"), "x>=1"),
    ],
)
def test_wrong_usage_exits_with_2(tmp_path, arguments, message):
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_help_shows_an_example():
    assert "cameo-data synth scenes --scenes 6" in run("--help").output


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("damage", [cut, lambda path: path.unlink()], ids=["cut", "deleted"])
@pytest.mark.parametrize("name", ["images/0001.png", "depth/0002.npy", "oracle-8-verdict.npy"])
def test_a_damaged_scene_is_rendered_again(damage, name, written, tmp_path):
    out = tmp_path / "scenes"
    shutil.copytree(written, out)
    path = out / "room-0001" / name
    damage(path)
    report = generate.write_scenes(out, plan(), oracle_stride=8)
    assert report.mended == report.written == ("room-0001",)
    assert contents(out) == contents(written)
    assert generate.write_scenes(out, plan()).written == ()


def test_the_command_says_what_it_mended(tmp_path):
    args = [tmp_path / "s", "--scenes", 2, "--frames", 1, "--size", 32, "--samples", 1]
    assert run(*args).exit_code == 0
    cut(next((tmp_path / "s").glob("room-0001/images/*.png")))
    assert "damaged, so rendered again: room-0001" in run(*args).stdout
    assert "rendered again" not in run(*args).stdout
