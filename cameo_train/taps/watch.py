"""Observes every ``scaled_dot_product_attention`` of one module without changing it."""

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
    """Arguments of one call, kept unchanged."""

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
    """A module's forward, watched while anyone listens; created once per module.

    Under ``torch.compile`` the module runs eagerly between two compiled graphs, since the product
    must be a call that Python sees. The function stays the same, so those graphs stay valid when
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
        """The module's watch; a new one if its forward has changed since."""
        found = vars(module).get(cls._attribute)
        current = vars(module).get("forward")
        if isinstance(found, Watched) and current in (found.own, found.forward):
            return found
        made = cls(module)
        object.__setattr__(module, cls._attribute, made)
        return made

    def open(self, sink: Sink) -> None:
        """From now on passes ``sink`` the products of every run, except in a backward pass."""
        self.sinks.append(sink)
        self.module.forward = self.forward

    def close(self, sink: Sink) -> None:
        """Stops passing products to ``sink``; the last removal restores the module."""
        self.sinks.remove(sink)
        if self.sinks:
            return
        if self.own is None:
            del self.module.forward
        else:
            self.module.forward = self.own


def in_backward() -> bool:
    """Whether autograd is running, by the test that ``torch.utils.checkpoint`` uses."""
    return int(torch._C._current_graph_task_id()) != -1


def _product_dtype(query: Tensor) -> torch.dtype:
    """The dtype to which autocast converts the query inside the call."""
    device = query.device.type
    if torch.is_autocast_enabled(device) and query.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return query.dtype
