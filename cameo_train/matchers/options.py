"""Options for reading attention, shared by all attention rows of a run."""

from __future__ import annotations

from dataclasses import dataclass

from cameo_data.errors import UsageError

HEADS = ("auto", "mean", "trained", "best", "each")
TIMESTEP = 300  # of 1000: targets are noisy, yet shapes can still be seen


@dataclass(frozen=True)
class AttentionOptions:
    """Options for reading attention, shared by all checkpoints of a run.

    Attributes:
        layers: numbers or names, ``all``, or empty for the supervised or preset layer.
        heads: ``mean`` of the logits, ``trained`` (the mixing head of the supervised layer),
            ``best`` (the head with the highest precision on this very build), ``each``, or
            ``auto``: the mean and, for a supervised layer, also its trained head.
        timesteps: noise levels of the target views, as timesteps out of 1000.
        checkpoints: ``latest`` or ``all``.
        references: number of clean views, the first of a group.
        seed: seed of the noise.
    """

    layers: tuple[str, ...] = ()
    heads: tuple[str, ...] = ("auto",)
    timesteps: tuple[int, ...] = (TIMESTEP,)
    checkpoints: str = "latest"
    references: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if odd := [h for h in self.heads if h not in HEADS]:
            raise UsageError(f"heads {odd[0]!r}; expected {', '.join(HEADS)}")
        if odd_steps := [t for t in self.timesteps if not 0 <= t < 1000]:
            raise UsageError(f"noise {odd_steps[0]}; expected timesteps from 0 to 999")
        if len(set(self.timesteps)) < len(self.timesteps):
            raise UsageError(f"noise levels {self.timesteps} repeat")
