"""What an architecture registers: the class of its models, and the presets a run can name."""

from __future__ import annotations

from dataclasses import dataclass

from cameo_train.models.model_preset import Preset
from cameo_train.models.multiview import MultiViewModel


@dataclass(frozen=True)
class Architecture:
    """A kind of network, with everything that the commands need to know about it.

    Attributes:
        name: as in ``Preset.architecture``.
        model: class of its models, built from a preset.
        presets: what ``--model`` can name.
        compared: names of the presets that ``cameo-train reproduce --ablate architecture`` trains:
            tiny ones, each compared with its own baseline.
    """

    name: str
    model: type[MultiViewModel]
    presets: tuple[Preset, ...]
    compared: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for preset in self.presets:
            if preset.architecture != self.name:
                raise ValueError(
                    f"preset {preset.name!r} is of architecture {preset.architecture!r}; "
                    f"expected {self.name!r}"
                )
        if odd := set(self.compared) - {preset.name for preset in self.presets}:
            raise ValueError(
                f"architecture {self.name!r} compares {min(odd)!r}, which is none of its presets"
            )
