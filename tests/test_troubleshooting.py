"""docs/troubleshooting.md: every row names words of a real message and a test of its remedy."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"

# how a row begins -> the test that meets the symptom and follows the remedy
TESTS = {
    "`has EXIF orientation …`": (
        "test_orientation.py::test_pictures_turned_by_exif_are_refused_and_both_remedies_work"
    ),
    "`… is 160×240; expected 240×160": "test_orientation.py::test_colmap_counts_stored_pixels",
    "`… is …, which is not supported` (HEIC": (
        "test_pictures.py::test_a_recording_of_heic_pictures_and_its_remedy"
    ),
    "`masks hold only": ("test_pictures.py::test_confidence_and_label_maps_as_masks_are_noted"),
    "`… turn it by 90°` beside": "test_aspects.py::test_a_turned_mask_is_told_to_be_turned",
    "`depth … is 160×240": "test_aspects.py::test_turned_depth",
    "`depth … aspects": (
        "test_aspects.py::test_depth_with_intrinsics_of_its_own_may_have_any_shape"
    ),
    "`no_depth …`": (
        "test_build_says.py::test_the_remedy_for_missing_depth_is_a_command_that_works"
    ),
    "`depth made differently": "test_depth_folder.py::test_an_interrupted_run_can_be_narrowed",
    "A depth map of a finished": "test_depth_folder.py::test_a_damaged_depth_map_is_made_again",
    "`depth_unit_scale_factor": "test_nerfstudio_statements.py::test_two_scales_of_depth",
    "`fl_x = …": (
        "test_nerfstudio_statements.py::"
        "test_millimetres_beside_an_angle_are_refused_and_either_can_be_chosen"
    ),
    "`… is read as the field": (
        "test_nerfstudio_statements.py::test_an_angle_alone_of_a_portrait_picture_is_asked_about"
    ),
    "`… square ones": "test_nerfstudio_statements.py::test_exchanged_angles_are_refused",
    "`… is the middle of a picture": (
        "test_nerfstudio_statements.py::"
        "test_intrinsics_of_another_size_are_refused_until_it_is_stated"
    ),
    "`the principal point …": (
        "test_nerfstudio_statements.py::test_shares_of_the_picture_become_pixels"
    ),
    "`x_fov = …": (
        "test_nerfstudio_statements.py::test_an_angle_in_radians_is_not_taken_for_degrees"
    ),
    "`… call it": ("test_nerfstudio_statements.py::test_an_angle_in_degrees_has_a_key_of_its_own"),
    "`poses that point": (
        "test_nerfstudio_statements.py::test_poses_said_to_point_the_other_way_are_refused"
    ),
    "`… transposed matrix": ("test_nerfstudio_statements.py::test_transposed_poses_are_told"),
    "`… is missing, …": ("test_nerfstudio_statements.py::test_a_name_spelled_differently_is_told"),
    "`… does not fit the depth": (
        "test_rgbd_options.py::test_arrays_read_as_pictures_are_sent_to_their_codec"
    ),
    "`are a field of view": "test_generic.py::test_intrinsics_that_cannot_be_of_the_picture",
    "A note about a negative": "test_stated_intrinsics.py::test_icl_nuim_recordings_are_exact",
    "`… rotation times": (
        "test_rgbd_statements.py::test_one_scaled_pose_is_refused_and_its_remedy_works"
    ),
    "`… rotation whose": (
        "test_stated_poses.py::"
        "test_scales_that_differ_along_the_axes_are_refused_and_the_remedy_works"
    ),
    "`camera_convention = …": (
        "test_nerfstudio_statements.py::"
        "test_axes_of_unknown_meaning_are_refused_until_they_are_chosen"
    ),
    "`… states a distorted": (
        "test_rgbd_statements.py::test_keys_of_a_camera_file_are_read_refused_or_named"
    ),
    "`the folder has 2": (
        "test_nerfstudio_statements.py::test_several_recordings_in_one_folder_are_all_named"
    ),
    "`file_path …": "test_nerfstudio_statements.py::test_names_without_a_folder",
    "`id … is an absolute": "test_generic.py::test_absolute_paths_are_no_ids",
    "`tracks of the model": (
        "test_colmap_models.py::test_tracks_that_disagree_keep_colmaps_own_reason"
    ),
    "`… without …": (
        "test_colmap_models.py::test_a_lost_file_of_rigs_is_not_read_as_poses_that_are_all_the_same"
    ),
    "`folder is a link": ("test_links.py::test_a_link_to_a_disk_that_is_not_mounted_is_counted"),
    "`… is a link to": ("test_links.py::test_data_that_is_not_fetched_is_counted_with_the_remedy"),
    "`… leads out": "test_links.py::test_the_remedy_of_a_path_that_leads_out_works",
    "`… looks like … which": "test_raw_captures.py::test_the_way_in_of_stray_scanner_works",
    "`… looks like … with a layout": "test_raw_captures.py::test_the_way_in_of_an_own_layout_works",
    "`read as layout": "test_rgbd_layouts.py::test_a_folder_of_two_layouts_says_which_is_read",
    "`clocks of different": (
        "test_rgbd_times.py::test_two_clocks_in_different_units_are_refused_by_name"
    ),
    "`… may be in … or": ("test_rgbd_times.py::test_where_a_unit_cannot_be_told_it_is_asked_for"),
    "`… has no pose near": (
        "test_rgbd_times.py::test_a_pose_too_far_away_says_how_far_and_the_remedy_takes_it"
    ),
    "`no depth near": (
        "test_rgbd_times.py::test_a_depth_too_far_away_says_how_far_and_the_remedy_takes_it"
    ),
    "`check that both clocks": (
        "test_rgbd_times.py::test_clocks_that_do_not_meet_are_not_asked_to_reach"
    ),
    "`pose file …": "test_unused.py::test_a_pose_file_without_a_picture_is_a_failure",
    "`warning: …": ("test_build_says.py::test_wrong_geometry_is_said_at_the_start_and_at_the_end"),
    "`left out: …": "test_build_says.py::test_what_was_chosen_is_said",
    "`verify`: `SHA-256": ("test_build_finished.py::test_the_remedy_of_verify_mends_a_flipped_bit"),
    "`… was finished, but": ("test_build_finished.py::test_what_is_damaged_is_said_and_made_again"),
    "`… has other bytes": (
        "test_build_finished.py::test_the_remedy_of_verify_mends_a_flipped_bit_beside_the_shards"
    ),
    "`checkpoint …": "train/test_config_checkpoint.py::test_a_flipped_bit_is_noticed",
    "`input: scene": (
        "test_build_finished.py::"
        "test_a_changed_picture_is_named_and_its_shards_are_those_of_a_fresh_build"
    ),
    "`status` says": "test_build_finished.py::test_status_looks_at_the_shards_too",
    "`reading it raised": "test_boundary.py::test_a_build_counts_a_scene_whose_listing_raises",
    "`format version 1": (
        "test_shard_checksums.py::test_shards_without_checksums_are_read_as_before"
    ),
    "`key … is not a text": ("test_recipe.py::test_yaml_that_could_be_read_in_two_ways_is_text"),
    "`… was made with other": ("train/test_loop.py::test_a_run_does_not_go_on_with_other_shards"),
    "`another run is writing": "train/test_loop.py::test_two_runs_do_not_share_a_folder",
    "A distributed run hangs": (
        "test_reading_recipes.py::test_processes_take_equally_many_batches"
    ),
}


def rows() -> list[str]:
    """The first cell of every row of every table, headings left out."""
    cells = [
        line.split(" | ")[0].removeprefix("| ")
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("| ")
    ]
    return [cell for cell in cells if cell != "You see" and not cell.startswith("---")]


def texts() -> str:
    """All string constants of both packages, adjoining ones joined as Python joins them."""
    found = []
    for package in ("cameo_data", "cameo_train"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def test_every_row_has_a_test() -> None:
    unmatched = [row for row in rows() if sum(row.startswith(start) for start in TESTS) != 1]
    assert unmatched == []
    assert len(rows()) == len(TESTS)


@pytest.mark.parametrize("test", TESTS.values())
def test_the_tests_exist(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_rows_quote_messages_that_exist() -> None:
    known = texts()
    missing = []
    for row in rows():
        quoted = re.match(r"`(.+?)`", row)
        if quoted is None:
            continue
        for piece in re.split(r"…°?|[0-9]+|[;:×]", quoted[1]):
            words = piece.strip(" .,=")
            if len(words) >= 12 and words not in known:
                missing.append(words)
    assert missing == []
