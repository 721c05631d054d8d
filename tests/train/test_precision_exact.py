"""Numbers do not hang on batches, chunks, settings of the process or the device."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from runs import small_run

from cameo_train.cli import main
from cameo_train.matchers import attention
from cameo_train.matchers.attention import mixed_tokens
from cameo_train.matchers.queries import Queries
from cameo_train.precision.float32 import float32_as_it_is
from cameo_train.supervision.heads import HeadMLP
from cameo_train.training import loop


def test_settings_that_round_are_off_and_come_back():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16), float32_as_it_is(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
            assert torch.backends.cudnn.deterministic
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("chunk", [1, 500, 1 << 20])
def test_a_mixing_head_settles_near_ties_in_float64(chunk, monkeypatch):
    """Keys that differ by less than float32 can tell in the product, through a trained head."""
    torch.manual_seed(0)
    mix, cells = HeadMLP(3), 40
    q = torch.randn(2, 3, cells, 8)
    base = torch.randn(2, 3, 4, 8)  # four kinds of keys, ten of each all but equal
    k = base.repeat(1, 1, 10, 1) + 1e-7 * torch.randn(2, 3, cells, 8)
    token = np.arange(cells)
    asked = Queries(
        np.repeat([1, 0], cells), np.repeat([0, 1], cells), np.tile(token, 2),
        np.zeros((2 * cells, 2)), np.zeros(2 * cells, np.int64), np.array([2]), 0,
    )  # fmt: skip
    monkeypatch.setattr(attention, "MIX_CHUNK", chunk)
    with torch.no_grad():
        found = mixed_tokens(q, k, mix, asked)
        slow = [
            int(mix(q[a, :, t, None].double() @ k[b].double().transpose(1, 2))[0].argmax())
            for a, b, t in zip(asked.view0, asked.view1, asked.token, strict=True)
        ]
        plain = torch.cat([mix(q[a] @ k[b].transpose(1, 2)).argmax(1) for a, b in ((1, 0), (0, 1))])
    assert found.tolist() == slow
    assert plain.tolist() != slow  # what float32 alone would say


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_numbers_of_the_cpu(tiny_build, tmp_path):
    """Features and attention, at the digits of the table; kernels by themselves exactly."""
    shards = tiny_build[0]
    settings = {"steps": 4, "size": 48}
    loop.fit(small_run(shards, tmp_path / "run", weight=1.0, **settings))
    rows = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        features = f"sift,oracle,chance,attention:{tmp_path / 'run'}"
        done = CliRunner().invoke(main, ["precision", "--shards", str(shards), "--out", str(out),
                                         "--features", features, "--device", device])  # fmt: skip
        assert done.exit_code == 0, done.output
        rows[device] = json.loads((out / "results.json").read_text())["rows"]
    for here, there in zip(rows["cpu"], rows["cuda"], strict=True):
        for one, other in zip(here["bins"], there["bins"], strict=True):
            if here["kind"] != "attention":
                assert one == other
                continue
            for limit, (value, *_) in one["precision"].items():
                if value is not None:
                    assert other["precision"][limit][0] == pytest.approx(value, abs=5e-4)
