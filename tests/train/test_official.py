"""The official-compatible mode: the official formulation, on the rows that matter to it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cameo_train.supervision import official
from cameo_train.supervision.heads import HeadMLP
from cameo_train.supervision.official import official_loss, official_matches, official_rows
from cameo_train.supervision.reference import dense_official_loss

GRID_HW = (5, 5)
TOKENS = 25


def waves(count, frequency):
    """Numbers in (−1, 1) that every machine and version of torch makes alike."""
    return torch.sin(torch.arange(1, count + 1, dtype=torch.float64) * frequency).float()


def recorded_case():
    """Tensors for which the official code's own answers are known: 2 × 4 views of 6 × 6 tokens."""
    size = 2 * 10 * 4 * 36 * 8
    q, k = (2 * waves(size, f).view(2, 10, 4 * 36, 8) for f in (0.7310, 1.1930))
    head = HeadMLP(10)
    with torch.no_grad():
        for i, parameter in enumerate(head.parameters()):
            parameter.copy_(waves(parameter.numel(), 0.37 + i).view_as(parameter) / 3)
    # a bent sheet, seen by four cameras that see more and more of it from further aside
    v, u = torch.meshgrid(*[torch.linspace(-1, 1, 24, dtype=torch.float64)] * 2, indexing="ij")
    views = []
    for b in range(2):
        for i in range(4):
            x, y = u * (1 + 0.2 * i) + 0.3 * i, v - 0.1 * i * u + 0.2 * b
            views.append(torch.stack([x, y, torch.sin(2 * x) * (1 + b) + 0.3 * y * y]))
    return q, k, torch.stack(views).view(2, 4, 3, 24, 24).float(), head


# references -> what train.py computes on these tensors (commit a1d2dc3, torch 2.13, CPU):
# loss, norms of its gradients in q, in k, and in the head's first weight
RECORDED = {
    1: (2.5193038, 0.0557176583, 0.055804912, 0.513968706),
    2: (2.57692289, 0.0503446832, 0.0517345034, 0.539868474),
    3: (2.68840265, 0.0626755357, 0.0639166832, 0.733174026),
}


def norms(value, q, k, head):
    found = torch.autograd.grad(value, [q, k, head.mlp[0].weight])
    return [value.item(), *(g.norm().item() for g in found)]


@pytest.mark.parametrize("references", RECORDED)
def test_the_official_code_s_own_numbers(references):
    q, k, points, head = recorded_case()
    q.requires_grad_(), k.requires_grad_()
    dense = dense_official_loss(
        q, k, points, references=references, grid_hw=(6, 6), head_mix=head.mlp
    )
    ours = official_loss(q, k, points, references=references, grid_hw=(6, 6), head_mix=head)
    assert norms(dense, q, k, head) == pytest.approx(RECORDED[references], rel=2e-6)
    assert norms(ours, q, k, head) == pytest.approx(RECORDED[references], rel=1e-5)


def tensors(seed, batch, views, spread):
    """Queries, keys, and points of ``views`` overlapping random sheets."""
    torch.manual_seed(seed)
    q, k = (torch.randn(batch, 3, views * TOKENS, 4).requires_grad_() for _ in range(2))
    sheet = torch.stack(torch.meshgrid(*[torch.linspace(0, 1, 15)] * 2, indexing="xy"))
    offset = spread * torch.randn(batch, views, 2, 1, 1)
    xy = sheet + offset
    z = torch.sin(3 * xy[:, :, :1]) + 0.02 * torch.randn(batch, views, 1, 15, 15)
    return q, k, torch.cat([xy, z], 2), HeadMLP(3)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 2),
    views=st.integers(2, 4),
    references=st.integers(1, 3),
    spread=st.sampled_from([0.0, 0.2, 0.6]),
    chunk=st.sampled_from([None, 4]),
    point_pairs=st.sampled_from([official.POINT_PAIRS, 60]),
)
def test_equal_to_the_dense_formulation(seed, batch, views, references, spread, chunk, point_pairs):
    references = min(references, views - 1)
    q, k, points, head = tensors(seed, batch, views, spread)
    dense = dense_official_loss(
        q, k, points, references=references, grid_hw=GRID_HW, head_mix=head.mlp
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(official, "POINT_PAIRS", point_pairs)
        ours = official_loss(
            q, k, points, references=references, grid_hw=GRID_HW, head_mix=head, chunk=chunk
        )
    assert ours.item() == pytest.approx(dense.item(), rel=1e-5, abs=1e-7)
    found, expected = (torch.autograd.grad(x, [q, k, *head.parameters()]) for x in (ours, dense))
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 3e-7


def test_saturated_attention_costs_the_floor():
    """1e-8 in the logarithm: no row costs more than −log 1e-8, and none has a gradient there."""
    q, k, points, head = tensors(0, 1, 2, 0.0)
    with torch.no_grad():
        q *= 1e5
    value = official_loss(q, k, points, references=1, grid_hw=GRID_HW, head_mix=head)
    dense = dense_official_loss(q, k, points, references=1, grid_hw=GRID_HW, head_mix=head.mlp)
    assert value.item() == pytest.approx(dense.item(), rel=1e-5)
    assert 10 < value.item() <= 2 * -math.log(1e-8)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["noise", "ties", "one place", "NaN"]))
def test_every_kind_has_a_row_that_counts(seed, kind):
    """So no mean is 0 / 0: the nearest two points of two views are each other's nearest."""
    torch.manual_seed(seed)
    points = torch.randn(1, 3, 3, 5, 5)
    if kind == "ties":
        points = points.round()
    elif kind == "one place":
        points[:, 1:] = 7.0
    elif kind == "NaN":
        points[torch.rand(1, 3, 1, 5, 5).expand_as(points) < 0.1] = torch.nan
    matches = official_matches(points, references=1, grid_hw=GRID_HW)
    assert matches.passed.any(-1)[0][matches.wanted].all()


def test_equal_views_match_token_by_token():
    _, _, points, _ = tensors(0, 1, 3, 0.0)
    points = points[:, :1].expand(-1, 3, -1, -1, -1)
    matches = official_matches(points, references=1, grid_hw=GRID_HW)
    other = ~torch.eye(3, dtype=torch.bool)
    assert (matches.nearest[:, other] == torch.arange(TOKENS)).all()
    assert torch.equal(matches.passed, other[None, ..., None].expand(1, 3, 3, TOKENS))
    # of equally near key views the first has the target, so each query's other row carries none
    assert matches.target.sum(2).eq(1).all()
    assert matches.target[0, 0, 1].all()
    assert matches.target[0, 1, 0].all()
    assert matches.target[0, 2, 0].all()


def test_weights_of_each_kind_are_one_over_its_rows():
    _, _, points, _ = tensors(3, 2, 4, 0.3)
    matches = official_matches(points, references=1, grid_hw=GRID_HW)
    rows = official_rows(points, references=1, grid_hw=GRID_HW)
    assert len(rows) == (matches.passed & matches.target).sum()
    for kind in (slice(0, 1), slice(1, 4)):
        first, last = (kind.start * TOKENS, kind.stop * TOKENS)
        weight = rows.weight[(rows.query >= first) & (rows.query < last)]
        expected = 1 / matches.passed[:, kind].sum()
        torch.testing.assert_close(weight, expected.expand_as(weight))


def test_directions_choose_the_keys_that_compete():
    _, _, points, _ = tensors(3, 1, 4, 0.3)
    matches = official_matches(points, references=2, grid_hw=GRID_HW, directions=["tgt-ref"])
    assert matches.wanted.nonzero().tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert matches.target[:, 2:, :2].sum(2).eq(1).all()
    assert matches.target.sum() == 2 * TOKENS
    rows = official_rows(points, references=2, grid_hw=GRID_HW, directions=["tgt-ref"])
    assert len(rows)
    assert {group.key_view for group in rows.groups} <= {0, 1}
    assert (rows.query >= 2 * TOKENS).all()


def test_points_and_references_that_do_not_fit_are_refused():
    q, k, points, head = tensors(0, 1, 2, 0.0)
    with pytest.raises(ValueError, match=r"points are \(B, V, 3, H, W\)"):
        official_rows(points.movedim(2, -1), references=1, grid_hw=GRID_HW)
    for references in (0, 2):
        with pytest.raises(ValueError, match="expected 1 to 1 of 2 views"):
            official_rows(points, references=references, grid_hw=GRID_HW)
    with pytest.raises(ValueError, match="targets at the layer's own grid"):
        official_loss(q, k, points, references=1, grid_hw=(3, 3), head_mix=head)
