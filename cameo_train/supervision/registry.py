"""Losses by name, those of installed packages included; ``target_kind`` chooses one.

Names are known without loading torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cameo_data.plugins import Registry

if TYPE_CHECKING:
    from cameo_train.supervision.strategy import Supervision

# name -> where its Supervision is
_BUILTIN = {
    "nearest": "cameo_train.supervision.per_key_view:NEAREST",
    "bilinear": "cameo_train.supervision.per_key_view:BILINEAR",
    "patch": "cameo_train.supervision.per_key_view:PATCH",
    "official": "cameo_train.supervision.official:OFFICIAL",
}
REGISTRY = Registry("loss", "cameo_train.losses", _BUILTIN)


def supervision(name: str) -> Supervision:
    """The loss called ``name``.

    Raises:
        UsageError: no such loss; the message has the nearest, or all.
        ValueError: the package that offers it is broken.
    """
    from cameo_train.supervision.strategy import Supervision

    return REGISTRY.load(name, Supervision, classes=True)  # type: ignore[type-abstract]
