"""A small diffusion transformer in plain PyTorch that attends over the tokens of all views."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from cameo_train import TokenLayout
from cameo_train.models import Architecture, MultiViewModel, Preset

WIDTH, HEADS, BLOCKS = 64, 4, 4


class Attention(nn.Module):
    heads = HEADS

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:  # (B, V·K, C)
        split = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return self.out(scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Layers:
    """Tells taps which modules attend, and how their tokens map to views."""

    def accepts(self, model: nn.Module) -> bool:
        return isinstance(model, TinyDiT)

    def layers(self, model: nn.Module) -> Sequence[str]:
        return [f"blocks.{n}.attention" for n in range(BLOCKS)]

    def layout(self, model: nn.Module, layer: str, views: int, hw: tuple[int, int]) -> TokenLayout:
        return TokenLayout(views, hw)  # each cell of the latents is a token


class TinyDiT(MultiViewModel):
    tap_adapter = Layers()

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.enter = nn.Linear(self.in_channels, WIDTH)
        self.time = nn.Sequential(nn.Linear(1, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.leave = nn.Linear(WIDTH, self.latent_channels)

    def predict(self, x: Tensor, timestep: Tensor) -> Tensor:
        """(B·V, C, h, w) of (B·V, in_channels, h, w); the rays in it say where a token looks."""
        views, hw = self.view_shape.views, x.shape[-2:]
        tokens = self.enter(x.flatten(2).transpose(1, 2))
        tokens = tokens + self.time(timestep[:, None, None].to(x.dtype) / 1000)
        joined = self.blocks(tokens.unflatten(0, (-1, views)).flatten(1, 2))
        tokens = joined.unflatten(1, (views, -1)).flatten(0, 1)
        return self.leave(tokens).transpose(1, 2).unflatten(-1, hw)

    def checkpointed(self) -> list[nn.Module]:
        return list(self.blocks)


TINY = Preset(
    name="tiny-dit", architecture="tiny-dit", latents="patch:8", image_hw=(64, 64), layer="blocks.2"
)
ARCHITECTURE = Architecture("tiny-dit", TinyDiT, (TINY,))
