"""The correspondence loss: laws, and agreement with a dense twin."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cameo_train.supervision import chunked
from cameo_train.supervision.heads import HEAD_MIXES, HeadMean, HeadMLP, build_head_mix
from cameo_train.supervision.loss import correspondence_loss, matched_tokens, precision_within
from cameo_train.supervision.reference import dense_loss
from cameo_train.supervision.supervised_rows import DIRECTIONS, supervised_rows, wanted_pairs
from cameo_train.supervision.targets import TokenTargets

GRID_HW = (4, 5)
K = 20


def tensors(seed=0, batch=2, views=3, heads=4, width=8, dtype=torch.float32):
    """Queries and keys that ask for gradients, and a small trained-like head."""
    torch.manual_seed(seed)
    q, k = (
        torch.randn(batch, heads, views * K, width).to(dtype).requires_grad_() for _ in range(2)
    )
    return q, k, HeadMLP(heads)


def random_targets(seed=0, batch=2, views=3, slots=3, share=0.4):
    """Rows of which ``share`` carry weight, some slots empty, sums at most 1."""
    g = torch.Generator().manual_seed(seed)
    shape = (batch, views, views, K, slots)
    index = torch.randint(0, K, shape, generator=g)
    weight = torch.rand(shape, generator=g) / slots
    weight *= torch.rand(shape, generator=g) < 0.8
    weight *= torch.rand(shape[:-1], generator=g)[..., None] < share
    weight[:, range(views), range(views)] = 0
    return TokenTargets(index, weight)


def gradients(value, q, k, head):
    return torch.autograd.grad(value, [q, k, *head.parameters()])


def assert_close(found, expected, rtol=1e-5):
    """Relative to the tensor's norm; the last bias has no influence and so no gradient."""
    for a, b in zip(found, expected, strict=True):
        atol = 1e-6 if b.numel() == 1 else 1e-7
        assert (a - b).norm() <= rtol * b.norm() + atol, (a.shape, (a - b).norm() / b.norm())


def with_attention(logits):
    """q, k of one head whose product is (V·K, V·K) logits at scale 1."""
    return logits[None, None], torch.eye(len(logits))[None, None]


# --- laws


def test_oracle_attention_costs_nothing():
    targets = random_targets(slots=1, batch=1)
    logits = torch.full((3, K, 3, K), -50.0)
    for a, v, token in targets.weight[0, ..., 0].nonzero().tolist():
        logits[a, token, v, targets.index[0, a, v, token, 0]] = 50.0
    q, k = with_attention(logits.view(3 * K, 3 * K))
    assert correspondence_loss(q, k, targets, head_mix=HeadMean(), scale=1.0).item() < 1e-6
    rows = supervised_rows(targets)
    matched = matched_tokens(q, k, rows, head_mix=HeadMean(), scale=1.0)
    assert torch.equal(matched, rows.index[:, 0])
    assert precision_within(matched, rows, GRID_HW, tokens=0) == 1.0


def test_attention_equal_to_a_soft_target_costs_its_entropy():
    targets = random_targets(slots=4, batch=1, share=1.0)
    full = TokenTargets(targets.index, torch.softmax(targets.weight, -1) * (targets.weight > 0))
    probability = torch.zeros(3, 3, K, K).scatter_add_(-1, full.index[0], full.weight[0])
    weight = probability.sum(-1, keepdim=True)
    attention = probability / weight.where(weight > 0, 1)
    q, k = with_attention(attention.log().clamp(-80).transpose(1, 2).reshape(3 * K, 3 * K))
    least = -(probability * attention.where(attention > 0, 1).log()).sum() / weight.sum()
    found = correspondence_loss(q, k, full, head_mix=HeadMean(), scale=1.0)
    assert found.item() == pytest.approx(least.item(), rel=1e-5)


@pytest.mark.parametrize("name", HEAD_MIXES)
def test_uniform_attention_costs_log_k(name):
    q, k, _ = tensors()
    value = correspondence_loss(
        torch.zeros_like(q), k, random_targets(), head_mix=build_head_mix(name, 4)
    )
    assert value.item() == pytest.approx(math.log(K), rel=1e-6)
    rows = supervised_rows(random_targets())
    chance = precision_within(torch.randint(0, K, (len(rows),)), rows, GRID_HW, tokens=0)
    assert 0 <= chance < 0.3


def test_the_softmax_sees_one_key_view_only():
    """Logits of other key views, and of rows without a target, change neither loss nor gradient."""
    targets = random_targets(batch=1)
    targets.weight[:, :, 2] = 0
    targets.weight[:, 2] = 0
    q, k, head = tensors(batch=1)
    value = correspondence_loss(q, k, targets, head_mix=head)
    of_q, of_k, *_ = gradients(value, q, k, head)
    assert (of_q[:, :, 2 * K :] == 0).all()
    assert (of_k[:, :, 2 * K :] == 0).all()
    assert (of_k[:, :, : 2 * K] != 0).all()
    with torch.no_grad():
        k[:, :, 2 * K :] = torch.nan
        q[:, :, 2 * K :] = torch.inf
    assert torch.equal(correspondence_loss(q, k, targets, head_mix=head), value)


def test_weights_are_relative():
    q, k, head = tensors()
    targets = random_targets()
    value = correspondence_loss(q, k, targets, head_mix=head)
    half = TokenTargets(targets.index, targets.weight / 2)
    torch.testing.assert_close(correspondence_loss(q, k, half, head_mix=head), value)
    # a row of weight 2 is a row twice
    rows = supervised_rows(targets)
    once = [
        correspondence_loss(q, k, TokenTargets(targets.index, targets.weight * m), head_mix=head)
        * (targets.weight * m).sum()
        for m in (torch.arange(K)[:, None] < 7, torch.arange(K)[:, None] >= 7)
    ]
    torch.testing.assert_close(sum(once) / rows.total_weight, value)


def test_a_slot_may_repeat_a_token():
    q, k, head = tensors()
    targets = random_targets(slots=1)
    twice = TokenTargets(targets.index.repeat(1, 1, 1, 1, 2), targets.weight.repeat(1, 1, 1, 1, 2))
    torch.testing.assert_close(
        correspondence_loss(q, k, twice, head_mix=head),
        correspondence_loss(q, k, targets, head_mix=head),
    )


def test_ranks_that_share_a_normalizer_add_up():
    """What DDP does: the mean over ranks of losses over parts is the loss over the whole."""
    q, k, head = tensors()
    targets = random_targets()
    whole = correspondence_loss(q, k, targets, head_mix=head)
    mean_weight = targets.weight.sum() / 2
    parts = [
        correspondence_loss(
            q[i : i + 1], k[i : i + 1],
            TokenTargets(targets.index[i : i + 1], targets.weight[i : i + 1]),
            head_mix=head, normalizer=mean_weight,
        )
        for i in range(2)
    ]  # fmt: skip
    torch.testing.assert_close(sum(parts) / 2, whole)
    assert_close(
        gradients(sum(parts) / 2, q, k, head),
        gradients(correspondence_loss(q, k, targets, head_mix=head), q, k, head),
    )


# --- no targets


def test_no_target_gives_exactly_zero_and_zero_gradients():
    q, k, head = tensors()
    with torch.no_grad():
        q[0, 0, 0] = torch.inf  # not even this may leak into the sum
    value = correspondence_loss(q, k, random_targets(share=0.0), head_mix=head)
    assert value.item() == 0.0
    for gradient in gradients(value, q, k, head):
        assert torch.equal(gradient, torch.zeros_like(gradient))
    rows = supervised_rows(random_targets(share=0.0))
    assert len(rows) == 0
    assert matched_tokens(q, k, rows, head_mix=head).shape == (0,)
    assert math.isnan(precision_within(rows.query, rows, GRID_HW))


def test_no_target_on_one_rank_still_divides_by_the_common_weight():
    q, k, head = tensors()
    empty = random_targets(share=0.0)
    assert correspondence_loss(q, k, empty, head_mix=head, normalizer=5.0).item() == 0.0


# --- against the dense twin


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    views=st.integers(2, 4),
    slots=st.integers(1, 5),
    share=st.sampled_from([0.02, 0.3, 1.0]),
    name=st.sampled_from(sorted(HEAD_MIXES)),
    chunk=st.sampled_from([None, 1, 3, 17, 1000]),
    chosen=st.sets(st.sampled_from(DIRECTIONS), min_size=1),
)
def test_loss_and_gradients_equal_the_dense_twin(seed, views, slots, share, name, chunk, chosen):
    q, k, _ = tensors(seed, views=views)
    head = build_head_mix(name, 4)
    targets = random_targets(seed, views=views, slots=slots, share=share)
    reference = torch.rand(2, views) < 0.5
    value = correspondence_loss(
        q, k, targets, head_mix=head, reference=reference, directions=chosen, chunk=chunk
    )
    dense = dense_loss(q, k, targets, head, wanted_pairs(reference, chosen))
    assert value.item() == pytest.approx(dense.item(), rel=1e-5, abs=1e-7)
    if len(supervised_rows(targets, reference, chosen)):
        assert_close(gradients(value, q, k, head), gradients(dense, q, k, head))


@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_the_chunk_changes_nothing(chunk):
    q, k, head = tensors()
    targets = random_targets()
    value, other = (
        correspondence_loss(q, k, targets, head_mix=head, chunk=c) for c in (None, chunk)
    )
    torch.testing.assert_close(value, other, rtol=1e-6, atol=0)
    assert_close(gradients(value, q, k, head), gradients(other, q, k, head))


def test_the_gradient_is_scaled_by_what_follows():
    q, k, head = tensors()
    value = correspondence_loss(q, k, random_targets(), head_mix=head)
    plain = gradients(value, q, k, head)
    scaled = gradients(
        0.02 * correspondence_loss(q, k, random_targets(), head_mix=head), q, k, head
    )
    assert_close(scaled, [0.02 * g for g in plain])


def test_numerical_gradient():
    q, k, head = tensors(batch=1, views=2, heads=2, width=2)
    targets = random_targets(batch=1, views=2)
    (of_q,) = torch.autograd.grad(correspondence_loss(q, k, targets, head_mix=head), q)
    direction = torch.randn_like(q)
    step = 1e-2
    with torch.no_grad():
        ahead, behind = (
            correspondence_loss(q + s * direction, k, targets, head_mix=head) for s in (step, -step)
        )
    slope = (ahead - behind) / (2 * step)
    assert slope.item() == pytest.approx((of_q * direction).sum().item(), rel=1e-2)


def test_only_what_asks_gets_a_gradient():
    q, k, head = tensors()
    targets = random_targets()
    expected = gradients(correspondence_loss(q, k, targets, head_mix=head), q, k, head)
    frozen = copy.deepcopy(head).requires_grad_(False)
    correspondence_loss(q, k.detach(), targets, head_mix=frozen).backward()
    assert_close([q.grad], expected[:1])
    assert k.grad is None
    assert all(p.grad is None for p in frozen.parameters())


def test_without_gradients_it_is_only_evaluated():
    q, k, head = tensors()
    value = correspondence_loss(q, k, random_targets(), head_mix=head)
    with torch.no_grad():
        evaluated = correspondence_loss(q, k, random_targets(), head_mix=head)
    assert not evaluated.requires_grad
    torch.testing.assert_close(evaluated, value)


def test_gradients_reach_through_the_projections():
    """In a model q and k are views of one projection's output."""
    _, _, head = tensors()
    x, weight = torch.randn(2, 3 * K, 16), torch.randn(16, 2 * 32, requires_grad=True)
    q, k = (x @ weight).view(2, 3 * K, 2, 4, 8).permute(2, 0, 3, 1, 4)
    targets = random_targets()
    ours = torch.autograd.grad(correspondence_loss(q, k, targets, head_mix=head), weight)
    q, k = (x @ weight).view(2, 3 * K, 2, 4, 8).permute(2, 0, 3, 1, 4)
    assert_close(ours, torch.autograd.grad(dense_loss(q, k, targets, head), weight))


# --- precision and devices


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    q, k, head = tensors(dtype=dtype)
    targets = random_targets()
    with torch.autocast("cpu", torch.bfloat16):
        value = correspondence_loss(q, k, targets, head_mix=head)
    exact_q, exact_k = (x.detach().float().requires_grad_() for x in (q, k))
    exact = correspondence_loss(exact_q, exact_k, targets, head_mix=head)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=1e-6, atol=0)
    found = gradients(value, q, k, head)
    assert found[0].dtype == dtype
    step = 2.0 ** (-8 if dtype == torch.bfloat16 else -11)
    for a, b in zip(found, gradients(exact, exact_q, exact_k, head), strict=True):
        assert (a.float() - b).norm() <= step * b.norm() + 1e-7


def test_gradients_are_rounded_to_float16_last():
    """Targets of tiny weight: their gradients are below float16's least value until divided."""
    q, k, head = tensors(dtype=torch.float16)
    targets = random_targets()
    tiny = TokenTargets(targets.index, targets.weight * 1e-9)
    (found,) = torch.autograd.grad(correspondence_loss(q, k, tiny, head_mix=head), q)
    (expected,) = torch.autograd.grad(correspondence_loss(q, k, targets, head_mix=head), q)
    assert expected.norm() > 0
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=1e-7)


class MaskedMean(HeadMean):
    """A head of one's own, which lets no query look at every third key."""

    def forward(self, logits):
        return super().forward(logits).index_fill(-1, torch.arange(0, K, 3), -torch.inf)


def test_a_head_may_mask_keys_that_only_empty_slots_name():
    q, k, _ = tensors()
    targets = random_targets()
    targets.weight[targets.index % 3 == 0] = 0
    value = correspondence_loss(q, k, targets, head_mix=MaskedMean())
    of_q, of_k = torch.autograd.grad(value, [q, k])
    assert 0 < value.item() < math.inf
    assert of_q.isfinite().all()
    assert (of_k.unflatten(2, (3, K))[..., ::3, :] == 0).all()
    assert (of_k.unflatten(2, (3, K))[..., 1::3, :] != 0).any()


def test_a_head_in_bfloat16_still_mixes_in_float32():
    q, k, head = tensors()
    rounded = copy.deepcopy(head).bfloat16()
    value = correspondence_loss(q, k, random_targets(), head_mix=rounded)
    expected = correspondence_loss(q, k, random_targets(), head_mix=copy.deepcopy(rounded).float())
    assert torch.equal(value, expected)
    assert all(g.dtype == torch.bfloat16 for g in gradients(value, q, k, rounded)[2:])


def test_extreme_logits_stay_finite():
    q, k, head = tensors()
    with torch.no_grad():
        q *= 1e4
    value = correspondence_loss(q, k, random_targets(), head_mix=head)
    assert value.isfinite()
    assert all(g.isfinite().all() for g in gradients(value, q, k, head))


def test_no_tensor_of_the_size_of_the_attention_is_kept():
    """What autograd holds between forward and backward: gradients of q, k and the head."""
    q, k, head = tensors(batch=1, views=4)
    value = correspondence_loss(
        q, k, random_targets(batch=1, views=4, share=1.0), head_mix=head, chunk=10
    )
    nodes, kept = [value.grad_fn], {}
    while nodes:
        node = nodes.pop()
        nodes += [after for after, _ in node.next_functions if after is not None]
        kept[node.name()] = [t.numel() for t in getattr(node, "saved_tensors", ())]
    assert kept["_ChunkedLossBackward"] == [t.numel() for t in (q, k, *head.parameters())]
    assert set(kept) == {"MulBackward0", "_ChunkedLossBackward", "torch::autograd::AccumulateGrad"}


def test_chunks_fit_the_budget():
    cpu = chunked.chunk_rows(torch.device("cpu"), heads=10, keys=1024)
    assert cpu * 10 * 1024 <= chunked.CPU_CHUNK_LOGITS
    assert chunked.chunk_rows(torch.device("cuda"), heads=10, keys=1024) > 8 * cpu
    assert chunked.chunk_rows(torch.device("cpu"), heads=64, keys=1 << 20) == 1


# --- rows and directions


def test_each_direction_picks_its_pairs():
    targets = random_targets(share=1.0)
    reference = torch.tensor([[True, False, False], [True, True, False]])
    count = {}
    for direction in DIRECTIONS:
        rows = supervised_rows(targets, reference, [direction])
        count[direction] = len(rows)
        query, key = direction.split("-")
        for group in rows.groups:
            assert reference[group.batch, group.key_view].item() == (key == "ref")
            views = rows.query[group.start : group.stop] // K
            assert (reference[group.batch, views] == (query == "ref")).all()
    assert sum(count.values()) == len(supervised_rows(targets))
    assert all(count.values())


def test_rows_keep_target_and_weight():
    targets = random_targets()
    rows = supervised_rows(targets)
    assert len(rows) == (targets.weight.sum(-1) > 0).sum()
    for group in rows.groups:
        for r in range(group.start, group.stop):
            view, token = divmod(rows.query[r].item(), K)
            at = (group.batch, view, group.key_view, token)
            assert torch.equal(rows.index[r], targets.index[at])
            assert torch.equal(rows.weight[r], targets.weight[at])


def test_what_does_not_fit_is_refused():
    q, k, head = tensors()
    targets = random_targets()
    with pytest.raises(ValueError, match="direction is 'tgt→ref'; expected some of ref-tgt"):
        supervised_rows(targets, torch.ones(2, 3), ["tgt→ref"])
    with pytest.raises(ValueError, match=r"needs reference \(B, V\) = \(2, 3\), got none"):
        supervised_rows(targets, None, ["tgt-ref"])
    with pytest.raises(ValueError, match="2 groups of 59 tokens, the targets are of 2 groups of 3"):
        correspondence_loss(q[:, :, 1:], k[:, :, 1:], targets, head_mix=head)
    with pytest.raises(ValueError, match="1 groups of 60"):
        correspondence_loss(q[:1], k[:1], targets, head_mix=head)
    with pytest.raises(ValueError, match="are \\(B, h, V·K, d\\) both"):
        correspondence_loss(q, k[..., :4], targets, head_mix=head)
    with pytest.raises(ValueError, match="chunk is 0"):
        correspondence_loss(q, k, targets, head_mix=head, chunk=0)
    with pytest.raises(ValueError, match="expected one of mlp, linear, mean"):
        build_head_mix("transformer", 4)


# --- heads


def test_the_mlp_head_is_the_official_one():
    """Its parameters are those of linear, GELU, linear over the heads, 10 → 40 → 1."""
    head = build_head_mix("mlp", 10)
    assert {n: tuple(p.shape) for n, p in head.state_dict().items()} == {
        "mlp.0.weight": (40, 10), "mlp.0.bias": (40,), "mlp.2.weight": (1, 40), "mlp.2.bias": (1,),
    }  # fmt: skip
    logits = torch.randn(10, 6, 7)
    expected = head.mlp(logits.permute(1, 2, 0))[..., 0]
    torch.testing.assert_close(head(logits), expected)


def test_the_linear_head_starts_as_the_mean():
    logits = torch.randn(5, 6, 7)
    torch.testing.assert_close(build_head_mix("linear", 5)(logits), HeadMean()(logits))


def test_training_on_the_loss_finds_the_matches():
    """Gradient descent on free queries and keys takes precision from chance to one."""
    torch.manual_seed(0)
    targets = random_targets(slots=1, batch=1, views=2, share=1.0)
    order = torch.randperm(K)
    targets.index[0, 0, 1, :, 0], targets.index[0, 1, 0, :, 0] = order, order.argsort()
    q, k, head = tensors(batch=1, views=2, width=16)
    rows = supervised_rows(targets)
    before = precision_within(matched_tokens(q, k, rows, head_mix=head), rows, GRID_HW, 0)
    optimizer = torch.optim.Adam([q, k, *head.parameters()], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        correspondence_loss(q, k, rows, head_mix=head).backward()
        optimizer.step()
    after = precision_within(matched_tokens(q, k, rows, head_mix=head), rows, GRID_HW, 0)
    assert before < 0.3
    assert after == 1.0
