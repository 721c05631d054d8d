"""Which samples come when: a pure function of seed, epoch and position, whatever the number of
workers and ranks.

An epoch is one permutation of all samples, cut into global batches of ``world × batch`` samples;
the last one is dropped, so all ranks take equally many steps. A position is a number of samples, so
a run may go on with another number of ranks from where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Position:
    """Where in the data a run is.

    Attributes:
        epoch: from 0.
        samples: samples of the epoch that all ranks together have taken.
    """

    epoch: int = 0
    samples: int = 0


@dataclass(frozen=True)
class Order:
    """The order of ``count`` samples for one rank.

    Raises:
        ValueError: fewer samples than one global batch.
    """

    count: int
    batch: int
    seed: int
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.count < self.global_batch:
            raise ValueError(
                f"{self.count} samples do not fill one batch of {self.global_batch} "
                f"({self.world} × {self.batch}); use a smaller batch or more samples"
            )

    @property
    def global_batch(self) -> int:
        """Samples in one step of all ranks together."""
        return self.batch * self.world

    def steps_left(self, samples: int) -> int:
        """Whole steps of an epoch after ``samples`` of it."""
        return max(0, self.count - samples) // self.global_batch

    def steps(self, start: Position) -> Iterator[tuple[list[int], Position]]:
        """(this rank's samples, position after the step), without end."""
        epoch, samples = start.epoch, start.samples
        while True:
            permutation = self.permutation(epoch)
            while self.steps_left(samples):
                mine = permutation[samples + self.rank : samples + self.global_batch : self.world]
                samples += self.global_batch
                yield [int(i) for i in mine], Position(epoch, samples)
            epoch, samples = epoch + 1, 0

    def permutation(self, epoch: int) -> np.ndarray:
        """All samples in the order of one epoch."""
        return np.random.default_rng([self.seed, epoch, 0]).permutation(self.count)


def sample_rng(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """The random choices of one sample in one epoch; no other draws touch them."""
    return np.random.default_rng([seed, epoch, 1, sample])
