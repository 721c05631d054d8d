"""What a search for mistakes passes on: mistakes, readings without them, and what it found."""

from __future__ import annotations

from dataclasses import dataclass

from cameo_data.check.figures import Figures
from cameo_data.check.judgement import Judgement
from cameo_data.check.measure import Reading
from cameo_data.check.score import Gain
from cameo_data.check.suspects import Suspect
from cameo_data.check.suspects.base import Evidence
from cameo_data.types import FloatArray

# A reading with more mistakes undone must be this much better to be preferred.
PER_MISTAKE = 1.2


@dataclass(frozen=True, eq=False)
class Named:
    """A mistake found.

    Attributes:
        values: see ``suspects.Variant``.
        after: figures once it is undone (together with those named before it).
    """

    suspect: Suspect
    values: Evidence
    gain: Gain
    after: Figures


@dataclass(frozen=True, eq=False)
class State:
    """A reading with the mistakes that have been undone in it.

    Attributes:
        factor: what undoing them gained together.
    """

    reading: Reading
    scores: FloatArray
    judgement: Judgement
    mistakes: tuple[Named, ...] = ()
    factor: float = 1.0

    @property
    def undone(self) -> frozenset[Suspect]:
        return frozenset(named.suspect for named in self.mistakes)

    @property
    def credit(self) -> float:
        """The gain less what each mistake costs: of two explanations the simpler one holds."""
        return self.factor / PER_MISTAKE ** len(self.mistakes)


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        before: the judgement on the reading as it is.
        mistakes: in the order found; undone all together they leave nothing to complain of.
        partial: the same, but what they leave is still bad.
    """

    before: Judgement
    mistakes: tuple[Named, ...] = ()
    partial: tuple[Named, ...] = ()
