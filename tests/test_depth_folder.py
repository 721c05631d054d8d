"""``cameo-data depth`` as a doorway: folders, resume, failures, and builds that take the result."""

import json
import shlex
import shutil

import depth_scenes
import numpy as np
import pytest
from build_scenes import tree
from click.testing import CliRunner

from cameo_data import depth as methods
from cameo_data.cli import main
from cameo_data.depth import computation, task, work_files
from cameo_data.depth.method import MethodOptions, MethodSpec
from cameo_data.errors import DataError, Reason
from cameo_data.frames import read_view
from cameo_data.geometry import raycast
from cameo_data.io.files import FileDefect
from cameo_data.recipe import source_recipe
from cameo_data.shards.reader import ShardReader
from cameo_data.sources.attached_depth import folder as folders
from cameo_data.sources.attached_depth import source as attached
from cameo_data.types import DepthMap, EstimatedDepth


class CopyOptions(MethodOptions):
    fail: str = ""
    factor: float = 1.0


def copy(scene, number, options, prepared):
    """The source's own depth, sure on the left half."""
    if scene.frame(number).frame_id in options.fail.split():
        raise FileDefect(Reason.METHOD_FAILED, "a bad day", "a good one", "wait")
    depth = scene.given_depth(number)
    confidence = np.where(np.arange(depth.hw[1]) < depth.hw[1] // 2, 1.0, 0.4)
    scaled = DepthMap.from_array(depth.z * np.float32(options.factor))
    confidence = np.broadcast_to(confidence, depth.hw).astype(np.float32)
    return EstimatedDepth(scaled, confidence, {"factor": options.factor})


SPEC = MethodSpec("copy", "a copy", "depth", CopyOptions, copy)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return depth_scenes.write(tmp_path_factory.mktemp("depth") / "scenes", scenes=2, frames=4)


@pytest.fixture(autouse=True)
def _copy_method(monkeypatch):
    monkeypatch.setitem(methods._BUILTIN, "copy", f"{__name__}:SPEC")


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def one_line(result, code):
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    [line] = [line for line in result.stderr.splitlines() if line.startswith(("error", "Error"))]
    return line


def depth(scenes, out, *args):
    return call("depth", "copy", "synthetic", scenes, "--out", out, "--workers", "1", *args)


def test_the_folder_holds_what_its_page_says(scenes, tmp_path):
    result = depth(scenes, tmp_path / "d", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["counts"]["frames"] == {"found": 8, "used": 8, "failed": 0}
    index = json.loads((tmp_path / "d" / "depth.json").read_text())
    assert index["method"] == "copy"
    assert set(index["scenes"]) == {"objects-0000", "objects-0001"}
    folder = tmp_path / "d" / "scenes" / index["scenes"]["objects-0000"]
    record = json.loads((folder / "scene.json").read_text())
    frame = record["frames"][2]
    exact = depth_scenes.opened(scenes).given_depth(2)
    with np.load(folder / frame["file"]) as file:
        np.testing.assert_array_equal(file["depth"], exact.z)
        assert set(np.unique(file["confidence"])) <= {0, 102, 255}
        assert np.all((file["confidence"] > 0) == exact.valid)
    assert frame["facts"] == {"factor": 1.0}
    assert not (tmp_path / "d" / ".depth" / "scenes").exists() or not list(
        (tmp_path / "d" / ".depth" / "scenes").iterdir()
    )


def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(scenes, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert depth(scenes, whole).exit_code == 0
    done = []
    true = task.check_frame

    def interrupted(job, where):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(where)
        true(job, where)

    monkeypatch.setattr(task, "check_frame", interrupted)
    result = depth(scenes, stopped)
    assert result.exit_code == 75
    assert not (stopped / "depth.json").exists()
    monkeypatch.undo()
    monkeypatch.setitem(methods._BUILTIN, "copy", f"{__name__}:SPEC")
    estimated = []
    monkeypatch.setattr(
        work_files, "keep", lambda path, found: estimated.append(path)
    )  # no frame is estimated twice
    assert depth(scenes, stopped).exit_code == 0
    assert estimated == []
    assert tree(stopped) == tree(whole)


def test_processes_change_nothing(scenes, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    mesh = tmp_path / "box.ply"
    write_box(mesh, (0, 0, 0), (3, 3, 2))
    for out, workers in ((one, 1), (two, 2)):
        result = call("depth", "mesh", "synthetic", scenes, "--out", out, "--workers", workers,
                      "-m", f"mesh={mesh}")  # fmt: skip
        assert result.exit_code == 0, result.output
    assert tree(one) == tree(two)


def test_a_finished_run_is_kept_and_another_is_refused(scenes, tmp_path):
    out = tmp_path / "d"
    assert depth(scenes, out).exit_code == 0
    assert json.loads(depth(scenes, out, "--json").stdout)["scenes_kept"] == 2
    line = one_line(depth(scenes, out, "-m", "factor=2"), 1)
    assert "holds depth made differently" in line
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    assert "holds other files" in one_line(depth(scenes, other), 1)


def test_a_changed_scene_is_made_again(scenes, tmp_path):
    copied = tmp_path / "scenes"
    shutil.copytree(scenes, copied)
    assert depth(copied, tmp_path / "d").exit_code == 0
    image = next((copied / "objects-0001" / "images").iterdir())
    image.write_bytes(image.read_bytes() + b"x")
    result = json.loads(depth(copied, tmp_path / "d", "--json").stdout)
    assert (result["scenes_made"], result["scenes_kept"]) == (1, 1)


def test_failures_are_counted_and_bounded(scenes, tmp_path):
    out = tmp_path / "d"
    line = one_line(depth(scenes, out, "-m", "fail=0001"), 1)
    assert "2 failures (2 method_failed), 0 allowed, depth for 6 of 8 frames" in line
    assert "frame 0001: a bad day; expected a good one; wait" in line
    result = depth(scenes, out, "-m", "fail=0001", "--max-failures", "2", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["counts"]["failures"]["by_reason"] == {"method_failed": 2}
    lines = (out / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame_id"] for line in lines] == ["0001", "0001"]
    built = call("build-corr", "synthetic", scenes, "--depth", out, "--out", tmp_path / "s",
                 "--views", 2, "--workers", 1, "--json", "--max-failures", 4)  # fmt: skip
    assert built.exit_code == 3, built.output
    counts = json.loads(built.stdout)["counts"]
    assert counts["failures"]["by_reason"] == {"no_depth": 2}
    assert counts["frames"]["failed"] == 2


def test_shards_say_which_method_made_their_depth(scenes, tmp_path):
    assert depth(scenes, tmp_path / "d", "-m", "factor=1.5").exit_code == 0
    built = call("build-corr", "synthetic", scenes, "--depth", tmp_path / "d", "--out",
                 tmp_path / "s", "--views", 2, "--workers", 1)  # fmt: skip
    assert built.exit_code == 0, built.output
    sample = next(iter(ShardReader(tmp_path / "s")))
    assert sample.depth_source == "copy"
    exact = depth_scenes.opened(scenes, int(sample.scene_id[-1]))
    given = exact.given_depth(int(sample.frame_ids[0]))
    both = given.valid & sample.depths[0].valid
    np.testing.assert_allclose(sample.depths[0].z[both], 1.5 * given.z[both], rtol=1e-3)
    assert call("verify", tmp_path / "s").exit_code == 0
    assert "Depth made by: copy" in call("stats", tmp_path / "s").stdout
    assert json.loads(call("stats", tmp_path / "s", "--json").stdout)["depth_sources"] == ["copy"]
    inspected = call("inspect", "synthetic", scenes, "--depth", tmp_path / "d")
    assert inspected.exit_code == 0
    checked = call("check", "synthetic", scenes, "--depth", tmp_path / "d", "--json")
    assert "depth_scale" in checked.stdout or json.loads(checked.stdout)


def test_only_sure_pixels_are_taken_where_asked(scenes, tmp_path):
    assert depth(scenes, tmp_path / "d").exit_code == 0
    values = {"name": "synthetic", "root": str(scenes), "depth": str(tmp_path / "d")}
    for least, halves in ((0.0, 2), (0.5, 1)):
        source = source_recipe({**values, "depth_confidence": least}).open()
        scene = source.scene("objects-0000")
        view = read_view(scene.frames[0], dataset="", scene_id="")
        right = view.depth.valid[:, depth_scenes.HW[1] // 2 :]
        assert bool(right.any()) == (halves == 2)
        assert view.depth.valid[:, : depth_scenes.HW[1] // 2].any()
    usage = call("build-corr", "synthetic", scenes, "--out", tmp_path / "s",
                 "--depth-confidence", 0.5)  # fmt: skip
    assert usage.exit_code == 2


def test_depth_of_other_cameras_is_refused_in_one_line(scenes, tmp_path):
    assert depth(scenes, tmp_path / "d").exit_code == 0
    other = depth_scenes.write(tmp_path / "small", scenes=2, frames=4, hw=(60, 80))
    build = ("--depth", tmp_path / "d", "--out", tmp_path / "s", "--workers", 1)
    line = one_line(call("build-corr", "synthetic", other, *build), 1)
    assert "depth was made for an image of 120×160; expected 60×80 (h×w)" in line
    moved = tmp_path / "moved"
    shutil.copytree(scenes, moved)
    shift = np.eye(4)
    shift[0, 3] = 0.1
    depth_scenes.change_poses(moved / "objects-0000", lambda poses: [p @ shift for p in poses])
    source = attached.attach(
        source_recipe({"name": "synthetic", "root": str(moved)}).open(), tmp_path / "d"
    )
    assert {f.reason for f in source.scene("objects-0000").failures} == {Reason.BAD_POSE}
    assert source.scene("objects-0001").failures == ()
    (moved / "objects-0001").rename(moved / "objects-0002")
    build = ("--depth", tmp_path / "d", "--out", tmp_path / "t", "--workers", 1)
    line = one_line(call("build-corr", "synthetic", moved, *build, "--scenes", "*2"), 1)
    assert "has no depth for this scene; expected one of its 2 scenes" in line
    assert "depth.json is missing" in one_line(
        call("inspect", "synthetic", scenes, "--depth", tmp_path / "nowhere"), 1
    )


@pytest.mark.parametrize(
    "args, code, says",
    [
        (["nosuch", "synthetic", "x"], 2, "unknown depth method 'nosuch'; expected one of planes"),
        (["copy", "synthetic", "x", "-m", "factr=1"], 2, "did you mean 'factor'?"),
        (["mesh", "synthetic", "x"], 2, "option 'mesh' of method 'mesh' is missing"),
        (["copy", "synthetic", "x", "--max-failures", "y"], 2, "max_failures: 'y'"),
        (["synthetic", "nowhere"], 1, "synthetic: nowhere does not exist"),
    ],
)
def test_wrong_input_is_one_line(args, code, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in one_line(call("depth", *args, "--out", "out"), code)


def test_dry_run_writes_nothing(scenes, tmp_path):
    result = depth(scenes, tmp_path / "d", "--dry-run")
    assert result.exit_code == 0
    assert "would write depth of 8 frames of 2 scenes by copy" in result.stdout
    assert not (tmp_path / "d").exists()
    assert depth(scenes, tmp_path / "d").exit_code == 0
    plan = json.loads(depth(scenes, tmp_path / "d", "--dry-run", "--json").stdout)
    assert (plan["frames"], plan["frames_kept"]) == (8, 8)


def test_all_methods_are_listed():
    text = call("depth", "--list").stdout
    for name in ("planesweep", "model", "colmap", "fuse", "mesh", "copy"):
        assert f"{name}: " in text


def write_box(path, center, size):
    """A closed box as an ASCII PLY."""
    x, y, z = (np.array([-0.5, 0.5]) * s + c for s, c in zip(size, center, strict=True))
    corners = [(a, b, c) for c in z for b in y for a in x]
    quads = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    triangles = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    head = "ply\nformat ascii 1.0\nelement vertex 8\nproperty float x\nproperty float y\n"
    head += (
        "property float z\nelement face 12\nproperty list uchar int vertex_indices\nend_header\n"
    )
    body = "".join(" ".join(map(str, corner)) + "\n" for corner in corners)
    body += "".join("3 " + " ".join(map(str, t)) + "\n" for t in triangles)
    path.write_text(head + body)


def test_a_mesh_is_seen_as_the_exact_caster_sees_it(scenes, tmp_path):
    path = tmp_path / "box.ply"
    write_box(path, (0.2, 0.1, 0.3), (1.5, 1.0, 2.0))
    scene = depth_scenes.opened(scenes)
    spec = methods.method_spec("mesh")
    options = computation.method_options("mesh", {"mesh": str(path)})
    solid = [raycast.placed("box", (0.2, 0.1, 0.3), (1.5, 1.0, 2.0))]
    for number in range(len(scene)):
        found = spec.estimate(scene, number, options, {}).depth
        exact = raycast.depth_of(raycast.render(solid, scene.camera(number)))
        assert np.mean(found.valid != (exact > 0)) < 2e-3
        both = found.valid & (exact > 0)
        assert both.any()
        np.testing.assert_allclose(found.z[both], exact[both], rtol=1e-4)
    bad = computation.method_options("mesh", {"mesh": str(tmp_path / "none.ply")})
    with pytest.raises(FileDefect, match="missing"):
        spec.estimate(scene, 0, bad, {})


def test_other_scenes_in_a_finished_folder_are_refused_with_the_difference_alone(scenes, tmp_path):
    out = tmp_path / "d"
    assert depth(scenes, out, "--scenes", "objects-0000").exit_code == 0
    line = one_line(depth(scenes, out, "--scenes", "objects-0001", "--limit", 1), 1)
    assert (
        "holds finished depth of other scenes (source.limit: None there, 1 here; source.scenes: "
        "['objects-0000'] there, ['objects-0001'] here); give another --out"
    ) in line
    assert "{" not in line


def test_an_interrupted_run_can_be_narrowed(scenes, tmp_path, monkeypatch):
    out, fresh = tmp_path / "d", tmp_path / "fresh"
    true = task.check_frame

    def interrupted(job, where):
        if where[0] == "objects-0001":
            raise KeyboardInterrupt
        true(job, where)

    monkeypatch.setattr(task, "check_frame", interrupted)
    assert depth(scenes, out).exit_code == 75
    line = one_line(depth(scenes, out, "-m", "factor=2"), 1)  # another way of making it is refused
    assert "holds depth made differently (options.factor: 1.0 there, 2.0 here)" in line
    assert depth(scenes, out, "--scenes", "objects-0000").exit_code == 0
    assert depth(scenes, fresh, "--scenes", "objects-0000").exit_code == 0
    index = "depth.json"
    assert (out / index).read_bytes() == (fresh / index).read_bytes()
    name = json.loads((out / index).read_text())["scenes"]["objects-0000"]
    assert tree(out / "scenes" / name) == tree(fresh / "scenes" / name)


def test_a_run_that_failed_before_any_depth_does_not_block_the_corrected_one(scenes, tmp_path):
    out = tmp_path / "d"
    every = " ".join(f"{number:04d}" for number in range(4))
    assert depth(scenes, out, "-m", f"fail={every}").exit_code == 1
    assert depth(scenes, out).exit_code == 0


def stamps(out):
    paths = [path for path in out.rglob("*") if path.is_file() and path.name != "lock"]
    return {path: path.stat().st_mtime_ns for path in paths}


def test_a_finished_folder_is_not_written_to(scenes, tmp_path):
    out, mine = tmp_path / "d", tmp_path / "scenes"
    shutil.copytree(scenes, mine)
    assert depth(mine, out).exit_code == 0
    before = stamps(out)
    again = depth(mine, out)
    assert "was finished already: depth of 8 frames" in again.stdout
    assert stamps(out) == before
    shutil.rmtree(mine)
    assert depth(mine, out).exit_code == 1  # the recordings are not there
    assert stamps(out) == before


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


@pytest.mark.parametrize("damage", [cut, lambda path: path.unlink()], ids=["cut", "deleted"])
def test_a_damaged_depth_map_is_made_again(damage, scenes, tmp_path):
    out = tmp_path / "d"
    assert depth(scenes, out).exit_code == 0
    whole = tree(out)
    damage(sorted(out.glob("scenes/*/*.npz"))[2])
    result = json.loads(depth(scenes, out, "--json").stdout)
    assert (result["scenes_made"], result["scenes_kept"]) == (1, 1)
    assert tree(out) == whole


def test_the_next_command_holds_all_that_the_depth_was_made_with(scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = depth(scenes, "a depth", "--scenes", "objects-000[1]")
    [line] = [line for line in result.stdout.splitlines() if line.startswith("next: ")]
    words = shlex.split(line.removeprefix("next: "))
    assert words[:2] == ["cameo-data", "build-corr"]
    built = call(*words[1:], "--views", 3, "--min-overlap", 0.01, "--workers", 1, "--no-check")
    assert built.exit_code == 0, built.output
    assert {sample.scene_id for sample in ShardReader(tmp_path / "SHARDS")} == {"objects-0001"}


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "..", "", "/etc", "a\0"])
def test_an_index_does_not_lead_out_of_the_folder(tmp_path, name):
    record = {
        "format_version": 1,
        "tool_version": "0.1.0",
        "method": "sweep",
        "options": {},
        "source": {},
        "counts": {},
        "scenes": {"room": name},
    }
    (tmp_path / "depth.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"depth\.json: scene folder .*finished folder of depth"):
        folders.read_index(tmp_path)


def test_another_spelling_of_the_root_is_the_same_depth(scenes, tmp_path, monkeypatch):
    shutil.copytree(scenes, tmp_path / "scenes")
    monkeypatch.chdir(tmp_path)
    first = depth("scenes", "out")
    assert first.exit_code == 0, first.output
    before = tree(tmp_path / "out")
    for spelling in ("scenes/", "./scenes", f"../{tmp_path.name}/scenes", tmp_path / "scenes"):
        again = depth(spelling, "out", "--json")
        assert again.exit_code == 0, again.output
        assert json.loads(again.stdout)["scenes_made"] == 0
        assert tree(tmp_path / "out") == before
    shutil.copytree(scenes, tmp_path / "others")
    assert "holds depth made differently" in depth("others", "out").stderr
