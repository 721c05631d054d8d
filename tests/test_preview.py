"""``cameo-data preview``: one page, self-contained, escaped, bounded, the same every time."""

import json
import re
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from report_fixtures import make_build, make_sample

from cameo_data.cli import main
from cameo_data.cli.common import ExitCode
from cameo_data.report import page, reading, summary
from cameo_data.shards.reader import ShardReader
from cameo_data.types import Verdict

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects tags and attributes, and checks that tags nest."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in {"li", "td", "th", "tr"} and self.open[-1] != tag:
            raise AssertionError(f"</{tag}> closes <{self.open[-1]}>")
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return make_build(tmp_path_factory.mktemp("preview") / "tiny", name="<i>tiny</i> & co")


@pytest.fixture(scope="module")
def html(build):
    result = run(build, "--samples", 2)
    assert result.exit_code == ExitCode.DONE, result.output
    return (build / "preview.html").read_text(encoding="utf-8")


def run(*arguments):
    return CliRunner().invoke(main, ["preview", *map(str, arguments)])


def test_page_nests_and_has_all_pictures(html):
    found = parse(html)
    images = [attributes for tag, attributes in found.tags if tag == "img"]
    # of two groups: four views, and two pairs of six pictures (the target for comparison included)
    assert len(images) == 2 * (4 + 2 * 6)
    assert all(image["alt"] for image in images)
    assert all(int(image["width"]) > 0 for image in images)


def test_page_needs_nothing_but_itself(html):
    found = parse(html)
    for tag, attributes in found.tags:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "srcset"}:
                assert re.fullmatch(r"data:image/webp;base64,[A-Za-z0-9+/]+=*", value)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html


def test_names_from_the_data_are_escaped(html):
    text = "".join(parse(html).text)
    assert "<script>alert(1)</script>" in text  # a frame's name, as text
    assert "<i>tiny</i> & co" in text
    assert 'kitchen <1> & "büro"' in text
    assert "<script" not in html


def test_page_states_the_numbers(html):
    text = " ".join("".join(parse(html).text).split())
    for part in ("30 found", "18 used", "9 left out", "3 failed", "unreadable_depth 2"):
        assert part in text
    for verdict in Verdict:
        assert verdict.name in text
    assert "3 groups of 4 views" in text
    assert "128 × 96" in text


def test_page_is_readable_in_dark_and_light(html):
    assert "prefers-color-scheme: dark" in html
    assert 'content="light dark"' in html
    assert "width=device-width" in html


def test_same_build_same_page(build, html, tmp_path):
    again, other = tmp_path / "a.html", tmp_path / "b.html"
    run(build, "--samples", 2, "--out", again)
    run(build, "--samples", 2, "--seed", 9, "--out", other)
    assert again.read_text(encoding="utf-8") == html
    assert other.read_text(encoding="utf-8") != html


def test_json_says_what_is_in_the_page(build, tmp_path):
    result = run(build, "--samples", 1, "--out", tmp_path / "p.html", "--json")
    record = json.loads(result.stdout)
    assert record["bytes"] == (tmp_path / "p.html").stat().st_size
    assert (record["groups"], record["groups_left_out"], record["pairs"]) == (1, 0, 2)
    assert record["median_colour_difference"] < record["median_colour_difference_unwarped"]
    assert result.stderr == ""


def test_dry_run_names_the_groups_and_writes_nothing(build, tmp_path):
    result = run(build, "--samples", 2, "--out", tmp_path / "p.html", "--dry-run")
    assert "would show 2 groups" in result.stdout
    assert not list(tmp_path.iterdir())
    record = json.loads(run(build, "--samples", 2, "--dry-run", "--json").stdout)
    assert len(record["groups"]) == 2


def test_page_is_bounded_and_says_what_it_left_out():
    sample = make_sample()
    numbers = summary.summarise([summary.record_of(sample)])
    frames = summary.FrameCount(4, 4, 0, 0)
    made = page.render("t", {}, numbers, frames, [sample] * 3, max_bytes=1)
    assert (made.groups, made.groups_left_out) == (1, 2)
    assert "2 more groups were asked for" in made.html
    assert "does not add up" not in made.html


def test_frames_that_vanish_are_shown():
    numbers = summary.summarise([summary.record_of(make_sample())])
    made = page.render("t", {}, numbers, summary.FrameCount(9, 4, 0, 0), [])
    assert "does not add up: 4 of 9" in made.html
    assert "This build holds no samples" in made.html
    parse(made.html)


def test_a_pair_of_views_needs_no_table_of_rotations():
    sample = make_sample()
    pair = {
        name: getattr(sample, name)[:2] for name in ("frame_ids", "cameras", "images", "depths")
    }
    two = type(sample)(
        **{
            **sample.__dict__,
            **pair,
            "masks": (None, None),
            "correspondence": {},
            "rotation_deg": sample.rotation_deg[:2, :2],
            "overlap": sample.overlap[:2, :2],
        }
    )
    numbers = summary.summarise([summary.record_of(two)])
    made = page.render("t", {}, numbers, summary.FrameCount(2, 2, 0, 0), [two])
    assert made.pairs == 1
    assert 'class="matrix' not in made.html


def test_facts_name_the_build(build):
    reader = ShardReader(build)
    facts = reading.facts(reader.index, reader[0])
    assert facts["strides"] == "8, 16"
    assert facts["image size"] == "128 × 96"
    assert facts["strategy"] == "uniform"
    assert facts["made by"] == "cameo 0.1.0, recipe 00000000"


def test_unfinished_build_is_one_line(tmp_path):
    result = run(tmp_path)
    assert result.exit_code == ExitCode.FAILED
    assert result.stderr.count("\n") == 1
    assert "index.json" in result.stderr
    assert not list(tmp_path.iterdir())
