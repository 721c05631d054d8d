"""Queries and keys of one attention layer as they enter the product; the model runs unchanged.

Calls of ``scaled_dot_product_attention`` are watched only while the chosen module runs. Each call
is passed on unchanged: the kernel and the result are the same, and no other layer is affected.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import torch
from torch import Tensor, nn

from cameo_train.taps.adapters import TapAdapter, adapter_of
from cameo_train.taps.layers import plain, resolve, unwrapped
from cameo_train.taps.layout import TapError, TokenLayout
from cameo_train.taps.watch import Product, Watched


class Tap:
    """Queries and keys of one layer; made by ``tap``, open inside ``with``.

    After each run of the model, ``queries`` and ``keys`` are those of that run; gradients flow
    through them into the model. Close the tap before a ``deepcopy`` of the model.

    Attributes:
        layer: path of the module.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        adapter: TapAdapter,
        layout: TokenLayout | None,
        shape: tuple[int, tuple[int, int]] | None,
        gradients: bool,
    ) -> None:
        self.layer = plain(layer)
        self._model, self._path = model, layer
        self._module = model.get_submodule(layer)
        self._adapter, self._layout, self._shape = adapter, layout, shape
        self._gradients = gradients
        self._product: Product | None = None

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __enter__(self) -> Self:
        Watched.of(self._module).open(self._note)
        return self

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        Watched.of(self._module).close(self._note)

    def _note(self, products: list[Product]) -> None:
        if len(products) != 1:
            called = f"{len(products)} times" if products else "not at all"
            raise TapError(
                f"{self.layer} ({type(self._module).__name__}) called scaled_dot_product_attention "
                f"{called}; tap a module that calls it once (torch's own attention, "
                "not xformers, flash-attn or sliced attention)"
            )
        self._product = products[0]
        if self._gradients and not self._product.query.requires_grad:
            raise TapError(
                f"no gradient flows to the queries of {self.layer}; freeze no layer before it, "
                "and checkpoint with use_reentrant=False"
            )

    @property
    def ran(self) -> bool:
        """Whether there is anything to read."""
        return self._product is not None

    def clear(self) -> None:
        """Releases the tensors, and with them the run's graph."""
        self._product = None

    def _last(self) -> Product:
        if self._product is None:
            raise TapError(
                f"{self.layer} has not run since the tap was opened; run the model inside "
                "`with tap(…)`, and if it was compiled before, call torch.compiler.reset()"
            )
        return self._product

    @property
    def queries(self) -> Tensor:
        """(N, heads, tokens, d) as they enter the product: after norm, rotation and autocast."""
        product = self._last()
        return product.query.to(product.dtype)

    @property
    def keys(self) -> Tensor:
        """(N, heads, tokens, d), as ``queries``."""
        product = self._last()
        return product.key.to(product.dtype)

    @property
    def scale(self) -> float:
        """The factor that multiplies the product before the softmax."""
        return self._last().scale

    @property
    def layout(self) -> TokenLayout:
        """The layout of the tokens in the views.

        Raises:
            TapError: the layer is cross-attention, or its number of tokens does not fit the views.
        """
        product = self._last()
        tokens = product.query.shape[2]
        if product.key.shape[2] != tokens:
            raise TapError(
                f"{self.layer} is cross-attention, {tokens} queries to {product.key.shape[2]} "
                "keys; only self-attention relates views"
            )
        if self._layout is not None:
            return self._layout.fitted(tokens)
        views, hw = self._shape or _shape_of(self._model, self.layer)
        return self._adapter.layout(self._model, self._path, views, hw).fitted(tokens)

    def grid_queries(self) -> Tensor:
        """(B, heads, V·K, d) queries of the views' grids, without extra tokens."""
        return self.layout.grid(self.queries)

    def grid_keys(self) -> Tensor:
        """(B, heads, V·K, d) keys, as ``grid_queries``; shared heads (grouped queries) repeat."""
        keys = self.layout.grid(self.keys)
        return keys.repeat_interleave(self._last().query.shape[1] // keys.shape[1], dim=1)


def _shape_of(model: nn.Module, layer: str) -> tuple[int, tuple[int, int]]:
    shape = getattr(model, "view_shape", None)
    if shape is None:
        raise TapError(
            f"{type(model).__name__} does not say how many views its input has; pass the number "
            f"and the size of its input: tap(model, {layer!r}, views=…, hw=…)"
        )
    return shape.views, shape.hw


def tap(
    model: nn.Module,
    layer: int | str,
    *,
    views: int | None = None,
    hw: tuple[int, int] | None = None,
    layout: TokenLayout | None = None,
    adapter: TapAdapter | None = None,
    gradients: bool = False,
) -> Tap:
    """Queries and keys of one attention layer, for use in ``with``.

    Args:
        model: one of our models, one of diffusers or any other; wrapped (DDP, FSDP,
            ``torch.compile``) or not.
        layer: number, "official:10", path or part of a path; see ``layers.resolve``.
        views, hw: views per group and size of the model's input; our models know them.
        layout: layout of the tokens, for a model that no adapter knows.
        adapter: adapter to use instead of the one that is found.
        gradients: whether to fail at once if no gradient would flow.

    Raises:
        UsageError: there is no such layer; the message gives the nearest names.

    Example:
        >>> import torch
        >>> from cameo_train.models import build
        >>> model = build("cat3d-tiny")
        >>> with tap(model, "up_blocks.1.attentions.0") as tapped:
        ...     _ = model(*model.example(views=2, hw=(16, 16)))
        >>> tapped.queries.shape, tapped.layout.grid_hw
        (torch.Size([1, 4, 512, 16]), (16, 16))
    """
    model = unwrapped(model)
    adapter = adapter or adapter_of(model)
    path = resolve(adapter.layers(model), layer)
    if (views is None) != (hw is None):
        raise ValueError("views and hw go together: the input's number of views and its size")
    shape = None if views is None or hw is None else (views, hw)
    return Tap(model, path, adapter, layout, shape, gradients)
