"""How attention is read, for all attention rows of a run."""

from __future__ import annotations

from dataclasses import dataclass

from cameo_data.errors import UsageError

HEADS = ("auto", "mean", "trained", "best", "each")
TIMESTEP = 300  # of 1000: targets are noisy, yet shapes can still be seen


@dataclass(frozen=True)
class AttentionOptions:
    """How attention is read, for all checkpoints of a run.

    Attributes:
        layers: numbers or names, ``all``, or empty for the supervised or preset one.
        heads: ``mean`` of the logits, ``trained`` (the mixing head of the supervised layer),
            ``best`` (the head with the highest precision on this very build), ``each``, or
            ``auto``: the mean, and for a supervised layer its trained head as well.
        timesteps: noise of the target views, of 1000.
        checkpoints: ``latest`` or ``all``.
        references: views that are given clean, the first of a group.
        seed: of the noise.
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
