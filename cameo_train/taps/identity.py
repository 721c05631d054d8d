"""One layer's attention replaced by the identity: every token attends only to itself.

After perturbed-attention guidance (Ahn et al. 2024, "Self-rectifying diffusion sampling with
perturbed-attention guidance", section 4.2): the product softmax(QKᵀ)V becomes V. This removes
exactly what the layer's attention brings from its own view and from the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from cameo_train.taps.adapters import adapter_of
from cameo_train.taps.layers import plain, resolve, unwrapped
from cameo_train.taps.layout import TapError


class _Identity(TorchFunctionMode):
    """Returns the values from every ``scaled_dot_product_attention``."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, _, value = (
            args[i] if i < len(args) else kwargs[name]
            for i, name in enumerate(("query", "key", "value"))
        )
        if query.shape[-2] != value.shape[-2]:
            raise TapError("cross-attention has no identity: its queries and keys differ")
        self.calls += 1
        repeated: Tensor = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        return repeated


@contextmanager
def identity_attention(model: nn.Module, layer: int | str) -> Iterator[None]:
    """Inside, the layer's attention is the identity; afterwards the model is as it was.

    Args:
        layer: as in ``tap``.

    Raises:
        UsageError: there is no such layer.
        TapError: the layer does not call ``scaled_dot_product_attention``, or is cross-attention.
    """
    model = unwrapped(model)
    path = resolve(adapter_of(model).layers(model), layer)
    module = model.get_submodule(path)
    own = vars(module).get("forward")
    forward = module.forward

    @functools.wraps(forward)
    def perturbed(*args: Any, **kwargs: Any) -> Any:
        with _Identity() as mode:
            out = forward(*args, **kwargs)
        if not mode.calls:
            raise TapError(f"{plain(path)} did not call scaled_dot_product_attention")
        return out

    module.forward = perturbed
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own
