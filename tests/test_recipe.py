"""Recipes: one model for file and flags, messages that name key, value and what was expected."""

import itertools
from pathlib import Path

import pytest
import yaml

from cameo_data import recipe as recipes
from cameo_data.errors import UsageError
from cameo_data.io import records, yaml_files

SOURCE = {"name": "synthetic", "root": "scenes"}


def make(**fields):
    return recipes.make({"source": SOURCE, **fields})


def test_the_resolved_recipe_reads_back(tmp_path):
    one = make(strides=[16, 8, 8], size=512, max_failures="5%", seed=3)
    (tmp_path / "recipe.yaml").write_text(one.yaml())
    again = recipes.make(yaml_files.load(tmp_path / "recipe.yaml"))
    assert again == one
    assert again.hash() == one.hash()
    assert (one.strides, one.size, one.max_failures) == ((8, 16), "512x512", 0.05)


def test_the_hash_tells_recipes_apart_by_what_decides_the_bytes():
    variants = [
        {},
        {"seed": 1},
        {"views": 5},
        {"strides": [8]},
        {"size": "512x384"},
        {"corr": "none"},
        {"min_overlap": 0.2},
        {"source": {**SOURCE, "root": "others"}},
        {"source": {**SOURCE, "scenes": ["a*"]}},
        {"source": {**SOURCE, "limit": 2}},
    ]
    hashes = [make(**fields).hash() for fields in variants]
    assert len(set(hashes)) == len(variants)
    assert make(max_failures=7).hash() == make().hash()


@pytest.mark.parametrize(
    "value, hw",
    [(512, (512, 512)), ("640x480", (480, 640)), ("640×480", (480, 640)), (None, None)],
)
def test_size_is_width_by_height(value, hw):
    assert make(size=value).hw == hw


@pytest.mark.parametrize(
    "text, value", [("5", 5), (5, 5), ("10%", 0.1), ("0.25", 0.25), (0.5, 0.5), ("0%", 0.0)]
)
def test_an_allowance_is_a_count_or_a_share(text, value):
    made = make(max_failures=text).max_failures
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    "fields, says",
    [
        ({"view": 4}, "unknown key 'view'; did you mean 'views'?"),
        ({"views": 1}, "views: 1: input should be greater than or equal to 2"),
        ({"views": "four"}, "views: 'four': input should be a valid integer"),
        ({"size": "5x"}, "size: '5x': expected 512 or 640x480 (width x height)"),
        ({"size": 4}, "size: 4: expected sides from 16 to 8192 pixels"),
        ({"size": True}, "size: True: expected 512"),
        ({"strides": []}, "strides: []: expected at least one stride; use corr: none"),
        ({"strides": [0]}, "strides.0: 0: input should be greater than or equal to 1"),
        ({"rotation_bins": [0, 30, 20]}, "expected at least two rising angles from 0 to 180"),
        ({"max_failures": -1}, "max_failures: -1: expected a number of failures (5) or a share"),
        ({"max_failures": "110%"}, "max_failures: '110%': expected"),
        ({"min_overlap": 2}, "min_overlap: 2: input should be less than or equal to 1"),
        ({"strategy": "random"}, "strategy: 'random': input should be 'video', 'uniform' or"),
        ({"seed": -1}, "seed: -1: "),
        ({"source": {"name": "synthetic"}}, "key 'source.root' is missing"),
        (
            {"source": {**SOURCE, "zzz": 1}},
            "unknown key 'source.zzz'; expected one of name, root",
        ),
        (
            {"source": {**SOURCE, "name": "x"}},
            "unknown source 'x'; expected one of ",
        ),
        ({"source": {**SOURCE, "limit": 0}}, "source.limit: 0: input should be greater than"),
        (
            {"source": {**SOURCE, "options": {"split": "train"}}},
            "source 'synthetic' has no splits; leave the split out, or choose --scenes",
        ),
        ({"source": {**SOURCE, "options": {"a": 1}}}, "unknown option 'a' of source 'synthetic'"),
        (
            {"source": {"name": "rgbd", "root": "x", "options": {"depth_scal": 1}}},
            "unknown option 'depth_scal' of source 'rgbd'; did you mean 'depth_scale'?",
        ),
        (
            {"source": {"name": "rgbd", "root": "x", "options": {"layout": "kitti"}}},
            "option 'layout' of source 'rgbd': 'kitti': ",
        ),
    ],
)
def test_a_wrong_value_is_one_line(fields, says):
    with pytest.raises(ValueError) as caught:
        make(**fields)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError, match=r"views: .*; seed: "):
        make(views=1, seed=-1)


def test_stored_strides():
    assert make().stored_strides == (8, 16)
    assert make(corr="full").stored_strides == (1,)
    assert make(corr="none").stored_strides == ()


def test_flags_override_key_by_key():
    file = {"source": {**SOURCE, "options": {"a": 1, "b": 2}}, "views": 3, "seed": 1}
    merged = yaml_files.merge(file, {"seed": 2, "source": {"options": {"b": 3}}})
    assert merged == {"source": {**SOURCE, "options": {"a": 1, "b": 3}}, "views": 3, "seed": 2}
    other = yaml_files.merge(file, {"source": {"name": "rgbd", "root": "r"}})
    assert other["source"] == {"name": "rgbd", "root": "r", "options": {}}
    assert yaml_files.merge({}, {"source": SOURCE}) == {"source": SOURCE}
    assert yaml_files.merge(file, {"source": {}}) == file


@pytest.mark.parametrize(
    "text, says",
    [
        ("views: [", "while parsing a flow node"),
        ("- a\n- b\n", "holds list; expected key: value lines"),
        ("views: 3\nviews: 4\n", "key 'views' appears twice (line 1)"),
        (
            "x: !!python/object/apply:os.system ['true']\n",
            "(line 1); expected plain values",
        ),
        ("", "holds NoneType"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_line(text, says, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        yaml_files.load(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nested_aliases_are_refused(tmp_path):
    """Ten references to ten references …: 10^9 values from a few lines."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    path = tmp_path / "recipe.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="more than 32 aliases"):
        yaml_files.load(path)


def test_a_huge_file_is_refused(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"#" * (yaml_files.MAX_FILE_BYTES + 1))
    with pytest.raises(ValueError, match="expected at most"):
        yaml_files.load(path)


@pytest.mark.parametrize(
    "text, value",
    [
        ("0.001", "0.001"),
        ("007", "007"),
        ("[1, 2.5]", [1, 2.5]),
        ("{a: 1}", {"a": 1}),
        ("[broken", "[broken"),
        ("color/*.{jpg,png}", "color/*.{jpg,png}"),
    ],
)
def test_option_values(text, value):
    assert yaml_files.parse_option(text) == value


def test_canonical_json_depends_on_the_values_alone():
    for order in itertools.permutations({"a": 1, "ü": [1.5, None], "c": {"x": "y"}}.items()):
        assert records.canonical_json(dict(order)) == (
            b'{"a":1,"c":{"x":"y"},"\\u00fc":[1.5,null]}'
        )


def test_the_demo_is_a_recipe():
    from importlib.resources import as_file, files

    with as_file(files("cameo_data") / "manifests" / "demo.yaml") as path:
        assert recipes.make(yaml_files.load(path)).views == 4


DEEP = "[" * 100_000
LAUGHS = "\n".join(
    ["a0: &a0 [1, 1, 1, 1]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 17)]
)
HOSTILE_YAML = {
    "deep lists": (DEEP, "nested more than 32 deep"),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(500)), "nested more than 32 deep"),
    "many keys": ("".join(f"{n}: 1\n" for n in range(60_000)), "more than 50000 values"),
    "laughs": (LAUGHS, "more than 50000 values, counting aliases each time"),
    "itself": ("&a [*a]", "a value that contains itself"),
    "base 60": ("a: !!int 1" + ":20" * 50_000, "is not an integer"),
    "base 60 as float": ("a: !!float 1:20.5", "'1:20.5' (line 1) is not a number"),
    "long number": ("a: " + "9" * 5000, "is not an integer"),
    "time": ("a: !!timestamp x", "tag 'tag:yaml.org,2002:timestamp' (line 1); expected plain"),
    "bytes": ("a: !!binary xx", "tag 'tag:yaml.org,2002:binary'"),
    "set": ("a: !!set {b}", "tag 'tag:yaml.org,2002:set'"),
    "truth": ("a: !!bool x", "'x' (line 1) is not true or false"),
    "key": ("on: 2", "key 'on' is not a text (line 1); put it in quotes"),
    "nul": ("a: \0", "unacceptable character"),
}


@pytest.mark.parametrize("case", HOSTILE_YAML)
def test_hostile_yaml_is_one_line(tmp_path: Path, case: str) -> None:
    text, message = HOSTILE_YAML[case]
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        yaml_files.load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(yaml.YAMLError):
        yaml_files.parse_yaml(text)


def test_yaml_that_could_be_read_in_two_ways_is_text() -> None:
    text = "a: 2024-01-01\nb: 1:30\nc: -1:30.5\nd: {x: 1.5, y: [true, null, 7]}\n'on': 0x10\n"
    assert yaml_files.parse_yaml(text) == {
        "a": "2024-01-01",
        "b": "1:30",
        "c": "-1:30.5",
        "d": {"x": 1.5, "y": [True, None, 7]},
        "on": 16,
    }
    merged = yaml_files.parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}")
    assert merged == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}
