"""Beyond one table: a layer taken out, results compared, published protocols, pictures."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from networks import small
from runs import small_run

from cameo_data import ShardReader
from cameo_data.errors import DataError
from cameo_train import taps
from cameo_train.cli import main
from cameo_train.data.batches import official_batch
from cameo_train.matchers.denoise import batch_of
from cameo_train.matchers.group import group_of
from cameo_train.matchers.queries import maps_of, queries_of
from cameo_train.models import build_latents
from cameo_train.precision import intervals, perturb
from cameo_train.precision.compare import compare, read_results
from cameo_train.protocols import PROTOCOLS, navi_errors, points_of, recalls
from cameo_train.protocols.measurement import Protocol, protocol_of
from cameo_train.taps.identity import identity_attention
from cameo_train.training import loop


@pytest.fixture(scope="module")
def shards(tiny_build):
    return tiny_build[0]


@pytest.fixture(scope="module")
def groups(shards):
    plan = protocol_of((48, 64), [8])
    reader = ShardReader(shards)
    return [group_of(s, queries_of(s, plan), torch.device("cpu")) for s in reader]


def precision(*args):
    return CliRunner().invoke(main, ["precision", *map(str, args)])


def measured(shards, out, *args):
    done = precision("--shards", shards, "--out", out, *args)
    assert done.exit_code == 0, done.output
    return json.loads((out / "results.json").read_text())


class Qkv(torch.nn.Module):
    """Attention whose parts can be computed by hand."""

    def __init__(self):
        super().__init__()
        self.to_q, self.to_k, self.to_v = (torch.nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2)
                   for f in (self.to_q, self.to_k, self.to_v))  # fmt: skip
        return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def test_identity_attention_gives_the_values_and_leaves_no_trace():
    torch.manual_seed(0)
    model = torch.nn.Sequential(Qkv(), Qkv())
    x = torch.randn(2, 5, 8)
    before = model(x)
    with identity_attention(model, "0"):
        found = model(x)
    torch.testing.assert_close(found, model[1](model[0].to_v(x)))
    assert not torch.allclose(found, before)
    assert torch.equal(model(x), before)
    assert "forward" not in vars(model[0])


def test_identity_attention_of_a_model_changes_only_while_it_is_on():
    model = small("cat3d-tiny")
    inputs = model.example(1, 3, (8, 8))
    with torch.no_grad():
        before = model(*inputs)
        for layer in model.layers():
            with taps.tap(model, layer) as tapped, identity_attention(model, layer):
                changed = model(*inputs)
            assert not tapped.ran or tapped.queries.isfinite().all()
            assert not torch.equal(changed, before)
        assert torch.equal(model(*inputs), before)


def test_without_a_layer_the_sampled_views_differ_and_references_do_not(groups):
    model = small("cat3d-tiny")
    space = build_latents(model.preset.latents)
    batch = batch_of(groups[:1], 1)
    layers = model.layers()[:2]
    found, images = perturb.perturbed(model, batch, space, layers, steps=2)
    assert [one.number for one in found] == [None, 0, 1]
    assert found[0].psnr_to_whole is None
    for one, image in zip(found[1:], images[1:], strict=True):
        assert one.psnr_to_whole is not None
        assert np.isfinite(one.psnr_to_whole)
        assert torch.equal(image[:, 0], images[0][:, 0])
    picture = perturb.picture(found, images, batch)
    assert picture.dtype == np.uint8
    again, _ = perturb.perturbed(model, batch, space, layers, steps=2)
    assert again == found


def test_a_protocol_survives_its_record():
    plan = protocol_of((48, 64), [8], thresholds=("5px", "2.5%"), bins_deg=(0, 10, 180),
                       min_confidence=0.25, masked=True)  # fmt: skip
    assert Protocol.of_record(json.loads(json.dumps(plan.record()))) == plan


def test_differences_are_those_of_the_same_scenes(shards, tmp_path):
    measured(shards, tmp_path / "a", "--features", "chance")
    measured(shards, tmp_path / "b", "--features", "oracle")
    plan, found = compare([tmp_path / "a", tmp_path / "b"])
    assert [one.label for one in found] == ["oracle − chance"]
    ours, theirs = (read_results(tmp_path / name).rows[0].tally for name in "ab")
    here = intervals.present(ours)
    weights = intervals.draws(int(here.sum()))
    # slowly: every draw of scenes by itself
    drawn = []
    for weight in weights:
        values = [
            (weight @ t.hits[here].sum(1)[:, 0]) / (weight @ t.queries[here].sum(1))
            for t in (ours, theirs)
        ]
        drawn.append(values[1] - values[0])
    a, b, difference = found[0].values[-1][0]
    assert difference.value == pytest.approx(b - a, abs=2e-6)
    assert here.sum() == 2
    width = 12.7062 * np.sqrt(2) * np.std(drawn)  # t of one degree of freedom
    np.testing.assert_allclose(
        (difference.low, difference.high), (b - a - width, b - a + width), atol=1e-5
    )
    assert found[0].bins == (*(plan.bin_label(n) for n in range(plan.bins)), "all")


def test_compare_writes_everything_and_nothing_differs_from_itself(shards, tmp_path):
    measured(shards, tmp_path / "a", "--features", "sift,chance")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    done = precision("--compare", tmp_path / "a", "--compare", tmp_path / "b", "--out",
                     tmp_path / "c")  # fmt: skip
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "c").iterdir()}
    assert names == {"compare.html", "compare.json", "compare.csv", "compare.png", "compare.svg"}
    rows = list(csv.DictReader((tmp_path / "c" / "compare.csv").read_text().splitlines()))
    assert {row["row"] for row in rows} == {"sift", "chance"}
    for row in rows:
        assert row["difference"] in ("0.0", "")
        assert row["grid"]
        assert row["match selection"]
    record = json.loads((tmp_path / "c" / "compare.json").read_text())
    assert record["statement"]["visibility filter"].startswith("VISIBLE")


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        (["--features", "chance", "--threshold", "3px"], 1, "thresholds"),
        (["--features", "chance", "--samples", 1], 1, "different pairs"),
        (["--features", "oracle,sift"], 2, "no row is in both"),
    ],
)
def test_what_cannot_be_compared_is_one_line(shards, tmp_path, changed, code, message):
    measured(shards, tmp_path / "a", "--features", "chance")
    measured(shards, tmp_path / "b", *changed)
    done = precision("--compare", tmp_path / "a", "--compare", tmp_path / "b", "--out",
                     tmp_path / "c")  # fmt: skip
    assert done.exit_code == code, done.output
    assert message in done.output
    assert done.output.count("\n") == 1


def test_flags_without_effect_are_refused(shards, tmp_path):
    out = tmp_path / "c"
    done = precision("--compare", tmp_path, "--threshold", "8px", "--out", out)
    assert (done.exit_code, "--compare goes with --out alone" in done.output) == (2, True)
    named = ["--shards", shards, "--features", "sift", "--protocol", "probe3d-navi", "--out", out]
    done = precision(*named, "--threshold", "8px", "--perturb", "all")
    assert done.exit_code == 2
    assert "states its own protocol; leave out --perturb, --threshold" in done.output


def test_compare_goes_alone_and_needs_two(shards, tmp_path):
    done = precision("--compare", tmp_path, "--shards", shards, "--out", tmp_path / "c")
    assert (done.exit_code, "--compare goes with --out alone" in done.output) == (2, True)
    done = precision("--compare", tmp_path, "--out", tmp_path / "c")
    assert (done.exit_code, "two or more" in done.output) == (2, True)
    done = precision("--shards", shards, "--out", tmp_path / "c")
    assert (done.exit_code, "--features" in done.output) == (2, True)


def test_a_named_protocol_over_a_build_is_that_of_its_pairs(shards, tmp_path, groups):
    named = PROTOCOLS["probe3d-navi"]
    done = precision("--shards", shards, "--features", "sift", "--protocol", named.name, "--out",
                     tmp_path)  # fmt: skip
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "probe3d-navi.json").read_text())
    from cameo_train.matchers.features import FEATURES

    sift = FEATURES["sift"](None, torch.device("cpu"))
    errors, angles = [], []
    for group in groups:
        sample, maps = group.sample, sift.descriptors(group.images)
        points = [
            points_of(
                torch.from_numpy(np.where(d.valid, d.z, 0)), torch.tensor(c.K, dtype=torch.float32)
            )
            for d, c in zip(sample.depths, sample.cameras, strict=True)
        ]
        for a in range(len(maps)):
            for b in range(len(maps)):
                if a != b:
                    cameras = sample.cameras
                    move = cameras[b].cam_from_world @ cameras[a].world_from_cam
                    errors.append(
                        navi_errors(maps[a], maps[b], points[a], points[b],
                                    torch.from_numpy(move).float(),
                                    torch.tensor(cameras[b].K, dtype=torch.float32))
                    )  # fmt: skip
                    angles.append(sample.rotation_deg[a, b])
    whole = recalls(named, errors, angles, metric=groups[0].sample.unit == "metre")
    found = record["rows"][0]
    assert found["pairs"] == whole.pairs
    for threshold, value in whole.px.items():
        assert found["recall"][f"{threshold:g} px"] == pytest.approx(value)
    for low, high, value, pairs in whole.bins:
        name = f"{low:g}–{high:g}°"
        assert found["of_pairs"][name] == (pairs if not np.isnan(value) else 0)
        assert found["recall"][name] == (pytest.approx(value) if pairs else None)
    assert record["statement"]["ranking"].endswith("the first 1000 count")


def test_named_protocols_say_what_they_are_of(shards, tmp_path):
    done = precision("--shards", shards, "--features", "sift", "--protocol", "cameo", "--out",
                     tmp_path)  # fmt: skip
    assert done.exit_code == 2
    assert "cameo is a protocol of attention; sift is none" in done.output


@pytest.mark.usefixtures("small")
def test_pictures_and_perturbation_of_a_run(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(perturb, "STEPS", 2)
    loop.fit(small_run(shards, tmp_path / "run", weight=1.0, size=48))
    loop.fit(small_run(shards, tmp_path / "plain", weight=0.0))
    found = measured(
        shards, tmp_path / "p", "--features",
        f"attention:{tmp_path / 'run'},attention:{tmp_path / 'plain'}", "--perturb", "0",
        "--pictures", 2,
    )  # fmt: skip
    names = {path.name for path in (tmp_path / "p").iterdir()}
    assert {"attention-1.png", "attention-2.png", "perturbed-1.png", "perturbed-2.png"} <= names
    assert [len(one["layers"]) for one in found["perturbed"]] == [2, 2]
    page = (tmp_path / "p" / "precision.html").read_text()
    assert page.count("data:image/png;base64,") >= 5
    done = precision("--shards", shards, "--features", f"attention:{tmp_path / 'run'}",
                     "--protocol", "cameo", "--layers", "all", "--out", tmp_path / "n")  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "n" / "cameo.json").read_text())["rows"]
    assert len(rows) > 1
    assert all(row["matches"] > 0 for row in rows)


def test_features_that_are_no_numbers_let_other_rows_go_on(shards, tmp_path, monkeypatch):
    from cameo_train.matchers import registry

    class Nan:
        name = "broken"

        def descriptors(self, images):
            return torch.full((len(images), 4, 6, 8), torch.nan)

    monkeypatch.setattr(registry, "_factory", lambda kind: lambda argument, device: Nan())
    done = precision("--shards", shards, "--features", "dinov2:x,oracle", "--out", tmp_path)
    assert done.exit_code == 3
    assert "not measured: dinov2:x: broken: NaN or infinite features in sample" in done.output
    done = precision("--shards", shards, "--features", "dinov2:x", "--out", tmp_path)
    assert done.exit_code == 1


def test_points_of_the_cameo_protocol_are_in_the_world(groups):
    official = official_batch(batch_of(groups[:1], 1))
    assert official["point_map"].shape[1] == len(groups[0].images)


def test_verdicts_that_are_not_stored_are_computed_and_without_depth_refused(groups):
    sample = groups[0].sample
    bare = replace(sample, correspondence={})
    np.testing.assert_array_equal(maps_of(bare, 8).verdict, sample.correspondence[8].verdict)
    nothing = tuple(replace(d, valid=np.zeros_like(d.valid)) for d in sample.depths)
    with pytest.raises(
        DataError, match=f"sample {sample.key} has no verdicts and no depth"
    ) as said:
        queries_of(replace(bare, depths=nothing), protocol_of((48, 64), [8]))
    assert "\n" not in str(said.value)
    with pytest.raises(DataError, match="images of 48×64"):
        queries_of(sample, protocol_of((64, 64), [8]))


@pytest.mark.usefixtures("small")
def test_a_checkpoint_of_another_size_is_refused_unless_asked_for(shards, tmp_path):
    loop.fit(small_run(shards, tmp_path / "run", weight=0.0, crop=32))
    given = ["--shards", shards, "--out", tmp_path / "p", "--pictures", 0, "--features"]
    done = precision(*given, f"attention:{tmp_path / 'run'}")
    assert done.exit_code == 1, done.output
    assert "was trained on images of 32×32 (h×w), this build's are 48×64" in done.output
    done = precision(*given, f"attention:{tmp_path / 'run'}@size=any")
    assert done.exit_code == 0, done.output
    assert "was trained on images of 32×32" in (tmp_path / "p" / "precision.html").read_text()
