"""Matches without depth: tracks and tables become sparse correspondences in shards."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colmap_recordings import HW, LENSES, SCENE, write_dense, write_sparse

from cameo_data import ShardReader, recipe
from cameo_data.build import build
from cameo_data.build.scene_survey import fingerprint
from cameo_data.camera import project, unproject
from cameo_data.errors import DataError
from cameo_data.geometry import raycast
from cameo_data.geometry.sparse_matches import COLUMNS, matched_share, read_pairs
from cameo_data.shards import layout, members
from cameo_data.shards.pack import pack_sample
from cameo_data.shards.unpack import unpack_sample
from cameo_data.shards.verify import verify_build
from cameo_data.sources import open_source
from cameo_data.types import Lens, Sample, SparseMatches

LENS = Lens("SIMPLE_RADIAL", LENSES["SIMPLE_RADIAL"], HW)


def built(root: Path, out: Path, **values: Any) -> list[Sample]:
    source = {"name": "colmap", "root": str(root), "options": values.pop("options", {})}
    made = recipe.make(
        {"source": source, "views": 3, "min_overlap": 0.01, "groups_per_scene": 1, **values}
    )
    build(made, out)
    assert verify_build(out, groups=None).ok
    return list(ShardReader(out, keep_encoded=True))


def test_tracks_are_stored_in_the_pixels_of_the_views(tmp_path):
    root = write_sparse(tmp_path / "s", LENS)
    (sample,) = built(root, tmp_path / "out", size="36x36")
    assert sample.depth_source == "none"
    assert not any(depth.valid.any() for depth in sample.depths)
    assert sample.correspondence == {}
    assert sample.matches is not None
    assert set(sample.matches) == {(0, 1), (0, 2), (1, 2)}
    for (a, b), pair in sample.matches.items():
        camera0, camera1 = sample.cameras[a], sample.cameras[b]
        z = raycast.cast_pixels(SCENE, camera0, pair.xy0).t
        true, _ = project(camera1, unproject(camera0, pair.xy0, z))
        assert len(true) > 8
        assert np.abs(true - pair.xy1).max() < 1e-3
    assert np.array_equal(np.diag(sample.overlap), np.ones(3))
    a_b = matched_share(sample.matches[0, 1].xy0, (36, 36), sample.overlap_stride)
    assert sample.overlap[0, 1] == a_b > 0


def test_a_table_of_pixel_pairs(tmp_path):
    root = write_sparse(tmp_path / "s", LENS)
    lines = [",".join(COLUMNS), "view1.png,view2.png,20.5,20,21,22.25", ""]
    lines += [f"view3.png,view1.png,{x},30,{x + 1},31" for x in (10, 20, 30)]
    lines += ["view1.png,view2.png,0.1,0.1,5,5"]  # leaves the cropped view
    (root / "pairs.csv").write_text("\n".join(lines))
    scene = open_source("colmap", root, {"matches": "pairs.csv"}).scene("s")
    assert scene.matches is not None
    pair = scene.matches.between("view1.png", "view3.png")
    assert pair.xy0.tolist() == [[11, 31], [21, 31], [31, 31]]
    assert pair.xy1.tolist() == [[10, 30], [20, 30], [30, 30]]
    assert len(scene.matches.between("view2.png", "view3.png").xy0) == 0
    (sample,) = built(
        root, tmp_path / "out", size="36x36", min_overlap=0, options={"matches": "pairs.csv"}
    )
    assert sample.matches is not None
    found = {
        (sample.frame_ids[a], sample.frame_ids[b]): len(pair.xy0)
        for (a, b), pair in sample.matches.items()
    }
    assert sum(found.values()) == 4
    assert found["view1.png", "view2.png"] == 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds 0 bytes"),
        ("\n", "line 1 is columns ''"),
        ("a,b\n", "line 1 is columns 'a, b'"),
        ("HEAD\nview1.png,view2.png,1,2,3\n", "line 2 is 'view1.png,view2.png,1,2,3'"),
        ("HEAD\nview1.png,view2.png,1,2,3,x\n", "line 2 is"),
        ("HEAD\nview1.png,view2.png,1,2,3,inf\n", "line 2 is"),
        ("HEAD\nview1.png,view1.png,1,2,3,4\n", "of two different frames"),
        ("HEAD\nview1.png,view9.png,1,2,3,4\n", "names frame 'view9.png'"),
    ],
)
def test_tables_that_are_none(text, message, tmp_path):
    root = write_sparse(tmp_path / "s")
    (root / "pairs.csv").write_text(text.replace("HEAD", ",".join(COLUMNS)))
    with pytest.raises(DataError) as caught:
        open_source("colmap", root, {"matches": "pairs.csv"}).scene("s")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_outside_the_scene(tmp_path):
    root = write_sparse(tmp_path / "s")
    (tmp_path / "pairs.csv").write_text(",".join(COLUMNS))
    with pytest.raises(DataError, match="leads out of s"):
        open_source("colmap", root, {"matches": "../pairs.csv"}).scene("s")


def test_scenes_with_and_without_depth_make_one_build(tmp_path):
    write_dense(tmp_path / "in/a")
    write_sparse(tmp_path / "in/b")
    dense, sparse = built(tmp_path / "in", tmp_path / "out")
    assert (dense.scene_id, sparse.scene_id) == ("a", "b")
    assert dense.matches == {}
    assert sparse.matches
    assert set(dense.correspondence) == set(sparse.correspondence) == {8, 16}
    assert not sparse.correspondence[8].verdict.any()
    assert dense.overlap[0, 1] > 0.3


def test_a_build_with_depth_has_no_members_for_matches(tmp_path):
    (sample,) = built(write_dense(tmp_path / "s"), tmp_path / "out")
    assert sample.matches is None
    assert not {layout.MATCH_XY, layout.MATCH_VIEWS} & set(pack_sample(sample))


def test_matches_on_the_background_are_left_out(tmp_path):
    from rgbd_recordings import save

    root = write_sparse(tmp_path / "s")
    mask = np.zeros(HW, np.uint8)
    mask[:, :32] = 255
    save(root / "masks/view2.png.png", mask)
    (sample,) = built(root, tmp_path / "out", restrict_to_mask=True)
    assert sample.matches is not None
    view = sample.frame_ids.index("view2.png")
    for (a, b), pair in sample.matches.items():
        for place, xy in ((a, pair.xy0), (b, pair.xy1)):
            assert place != view or xy[:, 0].max() < 32


def test_changed_tracks_are_noticed(tmp_path):
    root = write_sparse(tmp_path / "s")
    made = recipe.make({"source": {"name": "colmap", "root": str(root)}})

    def found() -> str:
        scene = made.source.open().scene("s")
        return fingerprint(made, scene, scene.frames)

    first = found()
    assert found() == first
    path = root / "sparse/0/points3D.txt"
    path.write_text(path.read_text() + "\n")
    assert found() != first


# What shards hold


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Sample:
    folder = tmp_path_factory.mktemp("stored")
    return built(write_sparse(folder / "s"), folder / "out")[0]


def test_members_are_plain_arrays(stored):
    packed = pack_sample(stored)
    views = members.decode_npy(packed[layout.MATCH_VIEWS], (None, 2), "u1")
    xy = members.decode_npy(packed[layout.MATCH_XY], (None, 2, 2), "<f4")
    assert len(views) == len(xy) == sum(len(pair.xy0) for pair in stored.matches.values())
    first = stored.matches[0, 1]
    rows = (views == (0, 1)).all(1)
    assert np.array_equal(xy[rows, 0], first.xy0)
    assert np.array_equal(xy[rows, 1], first.xy1)
    again = unpack_sample(packed, keep_encoded=True)
    assert pack_sample(again) == packed


@pytest.mark.parametrize(
    "views, xy, message",
    [
        ([[0, 1]], [[[1, 2], [3, 48]]], "match_xy.npy: pixels outside the views"),
        ([[0, 1]], [[[np.nan, 2], [3, 4]]], "match_xy.npy: pixels outside the views"),
        ([[1, 0]], [[[1, 2], [3, 4]]], "match_views.npy: not pairs a < b"),
        ([[0, 3]], [[[1, 2], [3, 4]]], "match_views.npy: not pairs a < b"),
        ([[1, 2], [0, 1]], [[[1, 2], [3, 4]]] * 2, "match_views.npy: not pairs a < b"),
        ([[0, 1]], np.zeros((2, 2, 2)), "match_xy.npy: array is float32 (2, 2, 2)"),
        ([[0, 1, 2]], [[[1, 2], [3, 4]]], "match_views.npy: array is uint8 (1, 3)"),
    ],
)
def test_damaged_members(stored, views, xy, message):
    packed = pack_sample(stored)
    packed[layout.MATCH_VIEWS] = members.encode_npy(np.array(views, np.uint8))
    packed[layout.MATCH_XY] = members.encode_npy(np.array(xy, np.float32))
    with pytest.raises(ValueError) as caught:
        unpack_sample(packed)
    assert message in str(caught.value)


def test_one_of_the_two_members_is_missing(stored):
    packed = pack_sample(stored)
    del packed[layout.MATCH_VIEWS]
    with pytest.raises(ValueError, match=r"match_views\.npy is missing"):
        unpack_sample(packed)


@pytest.mark.parametrize(
    "pair, places",
    [
        ((1, 0), [[1.0, 2.0]]),
        ((0, 3), [[1.0, 2.0]]),
        ((0, 1), [[64.0, 2.0]]),
        ((0, 1), [[np.nan, 2.0]]),
    ],
)
def test_samples_that_contradict_themselves(stored, pair, places):
    xy = np.array(places)
    sample = dataclasses.replace(stored, matches={pair: SparseMatches(xy, xy)})
    with pytest.raises(ValueError, match="matches of views"):
        pack_sample(sample)


def test_share_counts_cells_once():
    xy = np.array([[0.5, 0.5], [7.9, 7.9], [8.0, 0.0], [20.0, 1.0]])
    assert matched_share(xy, (8, 16), 8) == 1.0  # x = 20 lies outside
    assert matched_share(xy[:2], (8, 16), 8) == 0.5
    assert matched_share(np.zeros((0, 2)), (8, 16), 8) == 0


def test_read_pairs_says_which_frames_it_names(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("\ufeff" + ", ".join(COLUMNS) + '\n"a,b",c,1,2,3,4\n')
    assert read_pairs(path, ["a,b", "c"]).frame_ids() == {"a,b", "c"}
