"""Every misfit of CO3D's files is one failure or one error with its message; the rest stays."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import co3d_dataset as co3d
import numpy as np
import pytest
from rgbd_recordings import png_that_claims, save

from cameo_data.errors import DataError, Failure, Reason
from cameo_data.frames import read_view
from cameo_data.io import gzip_json
from cameo_data.sources import open_source

SEQUENCE = "110_13051_23361"
FOLDER = Path("apple") / SEQUENCE
Change = Callable[[list[co3d.Record]], Any]


def failures(root: Path, options: dict[str, Any] | None = None) -> dict[str, Failure]:
    """All that becomes of the one scene's frames but views; no frame is lost or doubled."""
    source = open_source("co3d", root, options)
    (scene_id,) = source.scene_ids()
    scene = source.scene(scene_id)
    found = {str(failure.frame_id): failure for failure in scene.failures}
    assert len(found) == len(scene.failures)
    for frame in scene.frames:
        try:
            read_view(frame, dataset="co3d", scene_id=scene_id)
        except DataError as error:
            found[frame.frame_id] = error.failure
    return found


def put(*keys: str, value: Any) -> Change:
    """Sets a field of the second frame."""

    def act(records: list[co3d.Record]) -> None:
        record = records[1]
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return act


def drop(*keys: str) -> Change:
    def act(records: list[co3d.Record]) -> None:
        record = records[1]
        for key in keys[:-1]:
            record = record[key]
        del record[keys[-1]]

    return act


SCALED = [[1.1, 0, 0], [0, 1.1, 0], [0, 0, 1.1]]
MIRRORED = [[1, 0, 0], [0, 1, 0], [0, 0, -1]]
RECORDS: dict[str, tuple[Change, Reason, str]] = {
    "unknown field": (
        put("exposure", value=3),
        Reason.BAD_METADATA,
        "frame_annotations.jgz: field exposure = '3': extra inputs are not permitted; expected the",
    ),
    "unknown nested field": (
        put("image", "hw", value=[1, 2]),
        Reason.BAD_METADATA,
        "field image.hw = '[1, 2]': extra inputs",
    ),
    "missing field": (drop("image"), Reason.BAD_METADATA, "field image: field required"),
    "missing nested field": (
        drop("depth", "scale_adjustment"),
        Reason.BAD_METADATA,
        "field depth.scale_adjustment: field required",
    ),
    "size of three": (put("image", "size", value=[1, 2, 3]), Reason.BAD_METADATA, "image.size"),
    "negative number": (put("frame_number", value=-1), Reason.BAD_METADATA, "frame_number = '-1'"),
    "huge image": (
        put("image", "size", value=[30000, 30000]),
        Reason.BAD_METADATA,
        "image size 30000×30000 (h×w); expected 1 to 100000000 pixels",
    ),
    "other image size": (
        put("image", "size", value=[64, 48]),
        Reason.WRONG_SIZE,
        "frame000002.jpg is 48×64; expected 64×48",
    ),
    "no viewpoint": (put("viewpoint", value=None), Reason.BAD_POSE, "viewpoint is null"),
    "unknown intrinsics": (
        put("viewpoint", "intrinsics_format", value="screen"),
        Reason.UNKNOWN_CAMERA_MODEL,
        "intrinsics_format 'screen'; expected ndc_isotropic or ndc_norm_image_bounds",
    ),
    "focal length zero": (
        put("viewpoint", "focal_length", value=[0, 1]),
        Reason.BAD_INTRINSICS,
        "viewpoint gives a matrix with focal lengths 0, 24",
    ),
    "NaN focal length": (
        put("viewpoint", "focal_length", value=[float("nan"), 1]),
        Reason.BAD_INTRINSICS,
        "NaN or infinite",
    ),
    "NaN translation": (
        put("viewpoint", "T", value=[float("nan"), 0, 0]),
        Reason.BAD_POSE,
        "NaN or infinite",
    ),
    "scaled rotation": (put("viewpoint", "R", value=SCALED), Reason.BAD_POSE, "not a rotation"),
    "mirrored rotation": (put("viewpoint", "R", value=MIRRORED), Reason.BAD_POSE, "reflection"),
    "path out of the sequence": (
        put("image", "path", value="apple/other/images/frame000002.jpg"),
        Reason.BAD_NAME,
        f"frame000002.jpg leads out of {SEQUENCE}",
    ),
    "path out of the dataset": (
        put("mask", "path", value=f"apple/{SEQUENCE}/../../../secret.png"),
        Reason.BAD_NAME,
        "secret.png leads out of",
    ),
    "absolute path": (
        put("depth", "path", value="/etc/passwd"),
        Reason.BAD_NAME,
        "passwd leads out of",
    ),
    "zero scale": (
        put("depth", "scale_adjustment", value=0),
        Reason.EMPTY_DEPTH,
        "has no valid pixel in the file",
    ),
}


@pytest.mark.parametrize("case", RECORDS)
def test_bad_record_costs_only_its_frame(case: str, tmp_path: Path) -> None:
    change, reason, message = RECORDS[case]
    found = failures(co3d.write_category(tmp_path, change=change))
    assert len(found) == 1
    (failure,) = found.values()
    assert failure.frame_id == ("-1" if case == "negative number" else "2")
    assert failure.reason == reason
    assert message in failure.message
    assert "\n" not in failure.message


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return act


def image(name: str, pixels: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: save(folder / name, pixels)


def bomb(folder: Path) -> None:
    (folder / DEPTH).write_bytes(png_that_claims((30000, 30000)))


IMAGE, MASK = "images/frame000002.jpg", "masks/frame000002.png"
DEPTH, DEPTH_MASK = "depths/frame000002.jpg.geometric.png", "depth_masks/frame000002.png"
FILES: dict[str, tuple[Callable[[Path], None], Reason, str]] = {
    "missing image": (remove(IMAGE), Reason.MISSING_FILE, f"{FOLDER / IMAGE} is missing"),
    "missing depth": (remove(DEPTH), Reason.MISSING_FILE, f"{FOLDER / DEPTH} is missing"),
    "missing depth mask": (remove(DEPTH_MASK), Reason.MISSING_FILE, f"{DEPTH_MASK} is missing"),
    "missing mask": (remove(MASK), Reason.MISSING_FILE, f"{MASK} is missing"),
    "truncated image": (cut(IMAGE), Reason.UNREADABLE_IMAGE, "is cut short"),
    "truncated depth": (cut(DEPTH), Reason.UNREADABLE_DEPTH, "is cut short"),
    "truncated mask": (cut(MASK), Reason.UNREADABLE_IMAGE, "is cut short"),
    "depth bomb": (bomb, Reason.UNREADABLE_DEPTH, "expected at most 100000000 pixels"),
    "8-bit depth": (
        image(DEPTH, np.ones((48, 64), np.uint8)),
        Reason.UNREADABLE_DEPTH,
        "expected one channel of 16 bits",
    ),
    "depth mask of another size": (
        image(DEPTH_MASK, np.ones((24, 32), np.uint8)),
        Reason.UNREADABLE_DEPTH,
        "of shape 24×32; expected 48×64 (h×w) like the depth",
    ),
    "mask of another size": (
        image(MASK, np.ones((24, 32), np.uint8)),
        Reason.WRONG_SIZE,
        "frame000002.png is 24×32; expected 48×64",
    ),
    "depth mask of nothing": (
        image(DEPTH_MASK, np.zeros((48, 64), np.uint8)),
        Reason.EMPTY_DEPTH,
        "has no valid pixel",
    ),
    "depth of infinities": (
        image(DEPTH, np.full((48, 64), 0x7C00, np.uint16)),
        Reason.EMPTY_DEPTH,
        "has no valid pixel",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_file_costs_only_its_frame(case: str, tmp_path: Path) -> None:
    change, reason, message = FILES[case]
    root = co3d.write_category(tmp_path)
    change(root / FOLDER)
    found = failures(root)
    assert found.keys() == {"2"}
    assert found["2"].reason == reason
    assert message in found["2"].message


def test_redacted_test_frames_are_recognised(tmp_path: Path) -> None:
    """Black pictures, as the hidden test set has them, and withheld ones; dark ones are kept."""

    def change(records: list[co3d.Record]) -> None:
        for record in records[:2]:
            record["meta"]["frame_type"] = "test_unseen"
            record |= {"depth": None, "mask": None}

    root = co3d.write_category(tmp_path, change=change)
    save(root / FOLDER / "images/frame000001.jpg", np.zeros((48, 64, 3), np.uint8))
    (root / FOLDER / "images/frame000002.jpg").unlink()
    dark = np.zeros((48, 64, 3), np.uint8)
    dark[:8, :8] = 60
    save(root / FOLDER / "images/frame000003.jpg", dark)
    found = failures(root)
    assert {key: failure.reason for key, failure in found.items()} == {
        "1": Reason.REDACTED,
        "2": Reason.REDACTED,
    }
    assert "frame of the hidden test set: its image is black" in found["1"].message
    assert "its image is withheld" in found["2"].message


def test_a_number_that_stands_twice(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path, change=put("frame_number", value=1))
    found = failures(root)
    assert found.keys() == {"1 again"}
    assert found["1 again"].reason == Reason.DUPLICATE_ID
    assert "frame_number 1 appears twice" in found["1 again"].message


def test_a_record_without_a_number(tmp_path: Path) -> None:
    found = failures(co3d.write_category(tmp_path, change=put("frame_number", value=[1])))
    assert found.keys() == {"record 1"}


def test_set_list_of_frames_that_are_not_annotated(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path)
    co3d.write_lists(
        root, "apple", "mine", {"train": [co3d.triple(SEQUENCE, 1), co3d.triple(SEQUENCE, 9)]}
    )
    found = failures(root, {"subset": "mine"})
    assert found.keys() == {"9"}
    what = "the set list names a frame that frame_annotations.jgz does not have"
    assert what in found["9"].message


def error_of(root: Path, options: dict[str, Any] | None = None) -> Failure:
    def read() -> None:
        source = open_source("co3d", root, options)
        for scene_id in source.scene_ids():
            source.scene(scene_id)

    with pytest.raises(DataError) as caught:
        read()
    assert "\n" not in str(caught.value)
    return caught.value.failure


LISTS: dict[str, tuple[Any, str]] = {
    "list of splits": ([], "set_lists_mine.json holds no table of train, val and test"),
    "unknown split": ({"dev": []}, "holds no table of train, val and test"),
    "no list": ({"train": {}}, "holds '{}' instead of a list of frames"),
    "no triple": ({"train": [[1, 2]]}, "holds a frame without name or number"),
    "no pair": ({"train": [["a"]]}, "holds a frame of another form"),
    "a number": ({"train": [7]}, "holds a frame of another form"),
    "number as text": ({"train": [["a", "1", ""]]}, "holds a frame without name or number"),
    "huge frame": ({"train": [["a", 10**30, ""]]}, "holds frame number"),
    "negative frame": ({"train": [["a", -1, ""]]}, "holds frame number -1"),
}


@pytest.mark.parametrize("case", LISTS)
def test_bad_set_list(case: str, tmp_path: Path) -> None:
    values, message = LISTS[case]
    root = co3d.write_category(tmp_path)
    co3d.write_lists(root, "apple", "mine", values)
    failure = error_of(root, {"subset": "mine"})
    assert failure.reason == Reason.BAD_METADATA
    assert message in failure.message


def test_bad_evaluation_batches(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path)
    options = {"subset": "mine", "eval_batches": True}
    mixed = [[co3d.triple(SEQUENCE, 1), co3d.triple("other", 1)]]
    co3d.write_lists(root, "apple", "mine", {}, mixed)
    assert f"a batch of several sequences, '{SEQUENCE}' and others" in error_of(root, options).found
    co3d.write_lists(root, "apple", "mine", {}, {})
    assert "no list of batches" in error_of(root, options).found
    (root / "apple/eval_batches/eval_batches_mine.json").write_text("[")
    assert "holds no JSON" in error_of(root, options).found


def text(content: str) -> bytes:
    return gzip.compress(content.encode())


ONE = json.dumps(co3d.sequence_record("apple", SEQUENCE))
WHOLE = text(f"[{ONE}]")
ARCHIVES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "holds 0 bytes"),
    "not gzip": (b"[{}]" * 9, "is not an intact gzip file"),
    "cut short": (WHOLE[:-20], "is cut short after"),
    "without its checksum": (WHOLE[:-8], "is cut short after"),
    "of another checksum": (WHOLE[:-8] + b"\0" * 8, "is not an intact gzip file (Error -3"),
    "zlib": (zlib.compress(b"[]"), "is not an intact gzip file"),
    "a table": (text('{"a": 1}'), "'{' at byte 0; expected a gzipped JSON list"),
    "numbers": (text("[1, 2]"), "no record at byte 1"),
    "no comma": (text(f"[{ONE} {ONE}]"), f"'{{' at byte {len(ONE) + 2}"),
    "no end": (text(f"[{ONE}"), f"the end at byte {len(ONE) + 1}"),
    "half a record": (text('[{"a": '), "at byte 1"),
    "text behind": (text("[]]"), "text after the list"),
    "absurd nesting": (text('[{"a": ' + "[" * 100_000), "at byte 1"),
    "no ASCII": (text('[{"a": "é"}]'), "non-ASCII"),
    "an unnamed record": (text('[{"a": 1}]'), "sequence_name"),
}


@pytest.mark.parametrize("name", ["sequence_annotations.jgz", "frame_annotations.jgz"])
@pytest.mark.parametrize("case", ARCHIVES)
def test_bad_annotation_file(case: str, name: str, tmp_path: Path) -> None:
    data, message = ARCHIVES[case]
    root = co3d.write_category(tmp_path)
    (root / "apple" / name).write_bytes(data)
    failure = error_of(root)
    assert failure.reason == Reason.BAD_METADATA
    assert name in failure.message
    assert message in failure.message


def test_one_bad_category_leaves_the_others(tmp_path: Path) -> None:
    root = co3d.write_category(co3d.write_category(tmp_path), "hydrant")
    (root / "apple/sequence_annotations.jgz").write_bytes(b"x")
    source = open_source("co3d", root)
    assert source.scene_ids() == [f"hydrant/{SEQUENCE}"]
    (failure,) = source.failures
    assert failure.scene_id == "apple"


def test_a_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = co3d.write_category(tmp_path)
    monkeypatch.setattr(gzip_json, "MAX_UNPACKED_BYTES", 10_000)
    (root / "apple/frame_annotations.jgz").write_bytes(gzip.compress(b" " * 20_000))
    assert "unpacks to over 10000 bytes" in error_of(root).found
    monkeypatch.setattr(gzip_json, "MAX_RECORD_BYTES", 1000)
    (root / "apple/frame_annotations.jgz").write_bytes(gzip.compress(b'[{"' + b"a" * 5000))
    assert "at byte 1" in error_of(root).found


def test_bad_sequences_are_counted(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path)
    good = co3d.sequence_record("apple", SEQUENCE)
    outside = {**good, "sequence_name": ".."}
    unknown = {**good, "sequence_name": "b", "quality": 1}
    co3d.write_jgz(root / "apple/sequence_annotations.jgz", [good, good, outside, unknown])
    source = open_source("co3d", root)
    assert source.scene_ids() == [f"apple/{SEQUENCE}"]
    assert [failure.reason for failure in source.failures] == [
        Reason.DUPLICATE_ID,
        Reason.BAD_NAME,
        Reason.BAD_METADATA,
    ]
    assert "appears twice in sequence_annotations.jgz" in source.failures[0].message


def test_sequence_without_frames(tmp_path: Path) -> None:
    root = co3d.write_category(tmp_path)
    co3d.write_jgz(root / "apple/frame_annotations.jgz", [])
    assert f"has no frame of sequence {SEQUENCE}" in error_of(root).found


def test_roots_that_are_none(tmp_path: Path) -> None:
    assert "nowhere does not exist" in error_of(tmp_path / "nowhere").found
    assert "no category in" in error_of(tmp_path).found
    root = co3d.write_category(tmp_path)
    failure = error_of(root, {"categories": "apple,pear"})
    assert "no category 'pear'" in failure.found
    assert failure.expected == "apple"
    with pytest.raises(ValueError, match="unknown scene 'x'"):
        open_source("co3d", root).scene("x")
