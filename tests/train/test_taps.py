"""A tap yields what enters the product, changes nothing, and says so where it cannot."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from networks import DIT_ARGUMENTS, SD_ARGUMENTS, UNET, Products, small
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from cameo_train import taps
from cameo_train.taps import TapError, TokenLayout, tap

UNET_LAYER = "up_blocks.1.attentions.0"


@pytest.fixture(scope="module")
def unet():
    return small("cat3d-tiny")


@pytest.fixture(scope="module")
def qk_norm_unet():
    return small("cat3d-tiny", qk_norm=True)


@pytest.fixture(scope="module")
def dit():
    return small("hunyuan-dit-tiny")


def inputs_of(model, layer, run):
    """What enters a module in a run."""
    seen = []
    path = taps.resolve(model.layers(), layer)
    hook = model.get_submodule(path).register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True
    )
    run()
    hook.remove()
    return model.get_submodule(path), seen[0]


def heads_of(attention, x, to):
    return to(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2)


# --- to the last bit ----------------------------------------------------------------------------


@torch.no_grad()
def test_unet_queries_and_keys_equal_the_projections_of_what_enters(unet):
    inputs = unet.example(batch=2, views=3, hw=(8, 6))
    attention, ((hidden,), _) = inputs_of(unet, UNET_LAYER, lambda: unet(*inputs))
    with tap(unet, UNET_LAYER) as tapped:
        unet(*inputs)
    joined = hidden.unflatten(0, (2, 3)).flatten(1, 2)
    assert torch.equal(tapped.queries, heads_of(attention, joined, attention.to_q))
    assert torch.equal(tapped.keys, heads_of(attention, joined, attention.to_k))
    assert tapped.scale == 8**-0.5


@torch.no_grad()
def test_dit_queries_are_normed_and_rotated(dit):
    from diffusers.models.embeddings import apply_rotary_emb

    inputs = dit.example(batch=2, views=3, hw=(8, 6))
    attention, ((hidden,), kwargs) = inputs_of(dit, "blocks.2", lambda: dit(*inputs))
    with tap(dit, "blocks.2") as tapped:
        dit(*inputs)
    joined = hidden.unflatten(0, (2, 3)).flatten(1, 2)
    rotary = tuple(part.repeat(3, 1) for part in kwargs["image_rotary_emb"])
    for got, to, norm in (
        (tapped.queries, attention.to_q, attention.norm_q),
        (tapped.keys, attention.to_k, attention.norm_k),
    ):
        plain = heads_of(attention, joined, to)
        assert torch.equal(got, apply_rotary_emb(norm(plain), rotary))
        assert not torch.equal(got, plain)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("name", ["unet", "qk_norm_unet", "dit"])
def test_every_layer_yields_what_the_kernel_gets(name, dtype, request):
    # under autocast a layer norm gives float32, and the cast to bfloat16 is inside the call
    model = request.getfixturevalue(name)
    inputs = model.example(batch=1, views=2, hw=(8, 8))
    for number, layer in enumerate(model.layers()):
        autocast = torch.autocast("cpu", dtype, enabled=dtype is not None)
        with tap(model, layer) as tapped, Products() as products, autocast, torch.no_grad():
            model(*inputs)
        assert len(products.seen) >= len(model.layers())
        entered = [(q, k) for q, k in products.seen if q.shape[2] == k.shape[2]]
        query, key = entered[number]
        assert query.dtype == (dtype or torch.float32)
        assert torch.equal(tapped.queries, query)
        assert torch.equal(tapped.keys, key)


# --- nothing changes ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_results_are_the_same_and_all_layers_stay_fused(name, request):
    model = request.getfixturevalue(name)
    inputs = model.example(batch=2, views=2, hw=(8, 8))
    with torch.no_grad(), Products() as before:
        expected = model(*inputs)
    with tap(model, 2) as tapped, torch.no_grad(), Products() as during:
        got = model(*inputs)
    assert tapped.ran
    assert torch.equal(got, expected)
    assert len(during.seen) == len(before.seen)
    assert during.unfused == before.unfused == 0
    assert all("forward" not in vars(module) for module in model.modules())


def test_gradients_with_a_tap_are_the_gradients_without(unet):
    model = copy.deepcopy(unet)
    inputs = model.example(batch=1, views=2, hw=(8, 8))
    model(*inputs).square().mean().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with tap(model, UNET_LAYER, gradients=True):
        model(*inputs).square().mean().backward()
    assert all(torch.equal(p.grad, expected[name]) for name, p in model.named_parameters())


def test_gradients_flow_through_queries_and_keys_into_earlier_layers(unet):
    inputs = unet.example(batch=1, views=2, hw=(8, 8))
    with tap(unet, UNET_LAYER, gradients=True) as tapped:
        unet(*inputs)
    early = unet.backbone.conv_in.weight
    late = unet.backbone.conv_out.weight
    loss = (tapped.grid_queries() * tapped.grid_keys()).sum()
    grads = torch.autograd.grad(loss, [early, late], allow_unused=True)
    assert grads[0].abs().max() > 0
    assert grads[1] is None


# --- checkpointing, compilation, wrappers -------------------------------------------------------


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_gradient_checkpointing_gives_the_same_gradients(name, request):
    plain = request.getfixturevalue(name)
    inputs = plain.example(batch=1, views=2, hw=(8, 8))
    results = []
    for checkpointed in (False, True):
        model = copy.deepcopy(plain).train()
        if checkpointed:
            model.enable_gradient_checkpointing()
        with tap(model, 2, gradients=True) as tapped:
            out = model(*inputs)
            queries = tapped.queries
            (out.square().mean() + (queries * tapped.keys).sum()).backward()
            assert tapped.queries is queries  # not those of the second run, in the backward pass
        results.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert results[0].keys() == results[1].keys()
    for parameter, grad in results[0].items():
        torch.testing.assert_close(results[1][parameter], grad, rtol=1e-5, atol=1e-7)


def test_reentrant_checkpointing_is_refused_where_gradients_are_wanted(dit):
    from torch.utils.checkpoint import checkpoint

    model = copy.deepcopy(dit)
    block = model.backbone.blocks[2]
    forward = block.forward
    block.forward = lambda x, **kwargs: checkpoint(
        lambda x: forward(x, **kwargs), x, use_reentrant=True
    )
    with tap(model, "blocks.2", gradients=True), pytest.raises(TapError, match="use_reentrant"):
        model(*model.example())


class Step(nn.Module):
    """What a training loop compiles: it opens a tap in every step."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, noisy, step, given):
        with tap(self.model, 0, gradients=True) as tapped:
            out = self.model(noisy, step, given)
            return out, tapped.grid_queries(), tapped.keys


# said by dynamo of code in torch and diffusers; pytest would make errors of them
@pytest.mark.filterwarnings("ignore:Dynamo detected a call")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_a_compiled_model_is_tapped_and_compiled_once():
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    model = small("hunyuan-dit-tiny", backbone=replace(DIT_ARGUMENTS, num_layers=1))
    inputs = model.example()
    expected = Step(model)(*inputs)
    compiled = torch.compile(Step(model), backend=count)
    with torch.no_grad():
        torch.compile(model, backend=count)(*inputs)  # before any tap was open
    made = []
    for _ in range(4):
        got = compiled(*inputs)
        made.append(len(graphs))
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b)
        assert got[1].requires_grad
    assert made[0] > 2
    assert made[1] == made[3], made  # taps that open and close compile nothing anew
    torch.compiler.reset()


def test_a_model_inside_ddp_is_tapped(unet, tmp_path, monkeypatch):
    from torch import distributed

    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # no look-up of this machine's name

    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(copy.deepcopy(unet))
        with tap(model, UNET_LAYER, gradients=True) as tapped:
            out = model(*unet.example())
            (out.square().mean() + tapped.queries.square().mean()).backward()
        assert tapped.layer == f"backbone.{UNET_LAYER}.transformer_blocks.0.attn1"
        assert all(p.grad is not None for p in model.parameters())
    finally:
        distributed.destroy_process_group()


# --- which layer --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sd_layers():
    return small("cat3d-tiny", backbone=SD_ARGUMENTS).layers()


def test_layer_10_of_the_official_code_is_the_same_by_number_order_and_name(sd_layers):
    assert len(sd_layers) == 16
    expected = "backbone.up_blocks.2.attentions.0.transformer_blocks.0.attn1"
    for spelling in (10, "10", "official:10", "up_blocks.2.attentions.0", -6,
                     "up_blocks.2.attentions.0…attn1", expected):  # fmt: skip
        assert taps.resolve(sd_layers, spelling) == expected


def test_layers_are_numbered_as_they_run(unet):
    order = []
    hooks = [
        unet.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: order.append(name))
        for name in unet.layers()
    ]
    with torch.no_grad():
        unet(*unet.example())
    for hook in hooks:
        hook.remove()
    assert order == unet.layers()
    assert len(order) == 7


def test_official_order_is_that_of_names():
    layers = [f"blocks.{i}.attn1" for i in range(12)]
    assert taps.resolve(layers, 2) == "blocks.2.attn1"
    assert taps.resolve(layers, "official:2") == "blocks.10.attn1"
    assert taps.resolve(layers, "blocks.1") == "blocks.1.attn1"


@pytest.mark.parametrize(
    "layer, message",
    [
        ("up_blocks.2.attentions.7", r"no attention layer 'up_blocks\.2.*7'; nearest: .*up_bl"),
        (16, r"no attention layer 16; this model has 16, 0 \(backbone\.down_blocks\.0"),
        ("-17", "no attention layer -17"),
        ("up_blocks.2", r"'up_blocks\.2' fits 3 attention layers"),
    ],
)  # fmt: skip
def test_a_layer_that_is_not_there_is_named_with_what_is(sd_layers, layer, message):
    with pytest.raises(ValueError, match=message):
        taps.resolve(sd_layers, layer)


# --- how the tokens lie -------------------------------------------------------------------------


def test_per_view_layers_give_views_in_order():
    model = small("cat3d-tiny", per_view_levels=1)
    inputs = model.example(batch=2, views=3, hw=(8, 6))
    with tap(model, UNET_LAYER) as tapped, torch.no_grad():
        model(*inputs)
    assert tapped.layout == TokenLayout(3, (8, 6), joint=False)
    assert tapped.queries.shape[0] == 6
    got = tapped.grid_queries()
    assert got.shape == (2, 2, 3 * 48, 8)
    assert torch.equal(got[1, :, 48:96], tapped.queries[4])


@pytest.mark.parametrize("hw", [(8, 8), (7, 9)])
def test_every_layer_knows_its_grid(unet, hw):
    inputs = unet.example(views=3, hw=hw)
    for layer in unet.layers():
        with tap(unet, layer) as tapped, torch.no_grad():
            unet(*inputs)
        rows, columns = tapped.layout.grid_hw
        assert tapped.queries.shape[2] == 3 * rows * columns
        assert (rows, columns) in {hw, (-(-hw[0] // 2), -(-hw[1] // 2))}
        assert unet.token_grid(layer, (2 * hw[0], 2 * hw[1])) == (rows, columns)


def test_extra_tokens_are_left_out():
    layout = TokenLayout(2, (1, 2), per_view=(1, 2), shared=(3, 1))
    # s s s | c g g r r | c g g r r | s; grids are marked 10, 11 and 20, 21
    sequence = torch.tensor([0, 0, 0, 0, 10, 11, 0, 0, 0, 20, 21, 0, 0, 0])
    x = sequence.view(1, 1, -1, 1).expand(2, 3, -1, 4)
    assert layout.sequence == len(sequence)
    assert layout.extra_tokens == 10
    assert layout.grid(x)[0, 0, :, 0].tolist() == [10, 11, 20, 21]
    alone = replace(layout, joint=False)
    views = torch.stack(
        [sequence[[0, 0, 0, 3, 4, 5, 6, 7, 0]], sequence[[0, 0, 0, 3, 9, 10, 6, 7, 0]]]
    )
    got = alone.grid(views.view(2, 1, -1, 1))
    assert got.shape == (1, 1, 4, 1)
    assert got.flatten().tolist() == [10, 11, 20, 21]


def test_a_plain_diffusers_unet_needs_to_be_told_the_views():
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(**UNET).eval()
    x, text = torch.randn(4, 4, 8, 6), torch.zeros(4, 1, 8)
    with tap(model, UNET_LAYER, views=2, hw=(8, 6)) as tapped, torch.no_grad():
        model(x, torch.tensor(3), text)
    assert tapped.layout == TokenLayout(2, (8, 6), joint=False)
    with tap(model, UNET_LAYER) as tapped, torch.no_grad():
        model(x, torch.tensor(3), text)
    with pytest.raises(TapError, match=r"input: tap\(model, .* views=…, hw=…\)"):
        _ = tapped.layout
    with tap(model, UNET_LAYER, views=2, hw=(8, 8)) as tapped, torch.no_grad():
        model(x, torch.tensor(3), text)
    with pytest.raises(TapError, match="attention runs over 48 tokens; 2 views of 8×8"):
        _ = tapped.layout
    assert len(taps.adapter_of(model).layers(model)) == 7  # no cross-attention among them


# --- other architectures ------------------------------------------------------------------------


@pytest.fixture
def installed(install):
    """Makes a package with an adapter."""
    from cameo_train.taps import adapters

    def install_adapter(module, code, point):
        name, _, value = point.partition(" = ")
        install(module, code, {"cameo_train.taps": {name: value}})
        adapters._installed.cache_clear()

    yield install_adapter
    adapters._installed.cache_clear()


def test_an_entry_point_that_is_no_adapter_is_named(installed):
    installed("broken_adapters", "found = object()\n", "broken = broken_adapters:found")
    with pytest.raises(ValueError, match=r"broken_adapters:found gives object; expected TapAdap"):
        taps.adapter_of(nn.Linear(1, 1))


class Attention(nn.Module):
    """Any module; grouped queries, and two products if asked."""

    def __init__(self, times=1):
        super().__init__()
        self.times = times
        self.q, self.k = nn.Linear(8, 16), nn.Linear(8, 8)

    def forward(self, x):
        q = self.q(x).unflatten(-1, (4, 4)).transpose(1, 2)
        k = self.k(x).unflatten(-1, (2, 4)).transpose(1, 2)
        for _ in range(self.times):
            scaled_dot_product_attention(query=q, key=k, value=k, scale=0.3, enable_gqa=True)
        return x


def test_any_module_by_path():
    model = nn.Sequential(nn.Linear(8, 8), Attention())
    with tap(model, "1", layout=TokenLayout(2, (2, 3))) as tapped:
        model(torch.randn(5, 12, 8))
    assert tapped.scale == 0.3
    assert tapped.grid_queries().shape == tapped.grid_keys().shape == (5, 4, 12, 4)
    assert torch.equal(tapped.grid_keys()[:, 1], tapped.keys[:, 0])


def test_a_tap_says_why_it_cannot_yield(unet):
    model = nn.Sequential(nn.Linear(8, 8), Attention(times=2))
    with tap(model, "1") as tapped, pytest.raises(TapError, match="attention 2 times; tap a mod"):
        model(torch.randn(1, 4, 8))
    with tap(model, "0"), pytest.raises(TapError, match=r"0 .Linear. called .* not at all"):
        model(torch.randn(1, 4, 8))
    with pytest.raises(TapError, match="1 has not run since the tap was opened"):
        _ = tapped.queries
    with tap(unet, 0) as tapped, torch.no_grad():
        unet(*unet.example())
    tapped.clear()
    assert not tapped.ran
    with pytest.raises(ValueError, match="views and hw go together"):
        tap(unet, 0, views=2)


def test_cross_attention_relates_no_views():
    model = small("cat3d-tiny", text="null")
    path = f"backbone.{UNET_LAYER}.transformer_blocks.0.attn2"
    with tap(model, path, adapter=taps.adapters.ByPath()) as tapped, torch.no_grad():
        model(*model.example())
    with pytest.raises(TapError, match="is cross-attention"):
        _ = tapped.layout


def test_taps_of_one_layer_open_and_close_in_any_order(unet):
    first, second = tap(unet, 0), tap(unet, 0)
    first.__enter__()
    second.__enter__()
    with torch.no_grad():
        unet(*unet.example())
    assert first.queries is second.queries
    first.__exit__(None, None, None)
    with torch.no_grad():
        unet(*unet.example(seed=1))
    assert not torch.equal(first.queries, second.queries)
    second.__exit__(None, None, None)
    assert all("forward" not in vars(module) for module in unet.modules())


def test_a_copy_of_a_model_that_was_tapped_is_on_its_own(unet):
    with tap(unet, 0):
        pass
    other = copy.deepcopy(unet)
    torch.nn.init.zeros_(other.get_submodule(other.layers()[0]).to_q.weight)
    with tap(other, 0) as tapped, torch.no_grad():
        other(*other.example())
    assert (tapped.queries == 0).all()


def test_a_forward_of_the_module_itself_is_kept(unet):
    model = copy.deepcopy(unet)
    layer = model.get_submodule(model.layers()[0])
    forward = layer.forward
    layer.forward = mine = lambda *args, **kwargs: 2 * forward(*args, **kwargs)
    with torch.no_grad():
        expected = model(*model.example())
        with tap(model, 0) as tapped:
            assert torch.equal(model(*model.example()), expected)
    assert tapped.ran
    assert layer.forward is mine
