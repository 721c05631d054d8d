"""Sees every ``scaled_dot_product_attention`` that runs in one module, and changes none."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True, eq=False)
class Product:
    """Arguments of one call, kept without touching them."""

    query: Tensor
    key: Tensor
    scale: float
    dtype: torch.dtype


class Watch(TorchFunctionMode):
    """Notes the arguments of every ``scaled_dot_product_attention`` and passes the call on."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention:
            query = args[0] if args else kwargs["query"]
            key = args[1] if len(args) > 1 else kwargs["key"]
            scale = kwargs.get("scale")
            scale = query.shape[-1] ** -0.5 if scale is None else float(scale)
            self.products.append(Product(query, key, scale, _product_dtype(query)))
        return func(*args, **kwargs)


Sink = Callable[[list[Product]], None]


class Watched:
    """A module's forward, watched while anyone listens; made once for each module.

    Under ``torch.compile`` the module runs eagerly between two compiled graphs, since the product
    must be a call that Python sees. That the function stays the same keeps those graphs valid when
    taps open and close.
    """

    _attribute = "_cameo_watched"

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.own = vars(module).get("forward")
        self.sinks: list[Sink] = []
        forward = module.forward

        @functools.wraps(forward)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if in_backward():  # gradient checkpointing runs the layer again: same values
                return forward(*args, **kwargs)
            with Watch() as watch:
                out = forward(*args, **kwargs)
            for sink in list(self.sinks):
                sink(watch.products)
            return out

        self.forward = torch.compiler.disable(watched)  # type: ignore[no-untyped-call]

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(None), ())  # a copy of the module has its own forward, unwatched

    @classmethod
    def of(cls, module: nn.Module) -> Watched:
        """The module's; a new one if someone changed its forward since."""
        found = vars(module).get(cls._attribute)
        current = vars(module).get("forward")
        if isinstance(found, Watched) and current in (found.own, found.forward):
            return found
        made = cls(module)
        object.__setattr__(module, cls._attribute, made)
        return made

    def open(self, sink: Sink) -> None:
        """From now on ``sink`` gets the products of every run, but those in a backward pass."""
        self.sinks.append(sink)
        self.module.forward = self.forward

    def close(self, sink: Sink) -> None:
        """No longer; after the last one the module is as it was."""
        self.sinks.remove(sink)
        if self.sinks:
            return
        if self.own is None:
            del self.module.forward
        else:
            self.module.forward = self.own


def in_backward() -> bool:
    """Whether autograd is running, as ``torch.utils.checkpoint`` asks it."""
    return int(torch._C._current_graph_task_id()) != -1


def _product_dtype(query: Tensor) -> torch.dtype:
    """What autocast turns the query into inside the call."""
    device = query.device.type
    if torch.is_autocast_enabled(device) and query.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return query.dtype
