"""The curves of a page, with a text on how to read each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cameo_train.precision.report import plots
from cameo_train.precision.results import RowResult, last_steps, shown
from cameo_train.protocols.measurement import Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Curves:
    """A figure of the page.

    Attributes:
        name: name of its files, without the ending.
    """

    name: str
    title: str
    text: str
    figure: Figure


def figures(rows: Sequence[RowResult], protocol: Protocol) -> list[Curves]:
    """Curves against rotation and, if there are several, by layer and over training."""
    told, colours = shown(rows), plots.colours_of(rows)
    figure = plots.against_rotation(told, protocol, colours)
    text = f"All pairs of a bin. {_readings(told)}"
    found = [Curves("rotation", "Precision against rotation", text, figure)]
    floor = next((r.all.precision[0].value for r in rows if r.row.kind == "floor"), None)
    layers = [row for row in last_steps(rows) if row.row.layer is not None]
    if _several(layers, "layer_number"):
        steps = "; last checkpoints only" if _several(rows, "step") else ""
        xlabel = "layer, in execution order"
        found.append(
            Curves(
                "layers",
                "Precision layer by layer",
                f"Bins together{steps}. {_readings(layers)}",
                plots.against(layers, protocol, colours, "layer_number", xlabel, floor),
            )
        )
    trained = [row for row in rows if row.row.main and row.row.step is not None]
    if _several(trained, "step"):
        found.append(
            Curves(
                "training",
                "Precision over training",
                f"Bins together, at every checkpoint that was kept. {_readings(trained)}",
                plots.against(trained, protocol, colours, "step", "training step", floor),
            )
        )
    return found


def _several(rows: Sequence[RowResult], field: str) -> bool:
    return len({getattr(row.row, field) for row in rows if row.row.layer is not None}) > 1


def _readings(rows: Sequence[RowResult]) -> str:
    """Which rows may be compared, given how they read attention."""
    heads = [row.row.heads or "" for row in rows]
    said = []
    if "mean" in heads:
        said.append(
            "Head mean: the logits of all heads, averaged; the same for every layer and model, but "
            "heads that look elsewhere drown out one that finds the match."
        )
    if any(h.startswith("best") for h in heads):
        said.append(
            "Best head: the single head that does best on these very pairs, which flatters it; the "
            "same for every layer and model."
        )
    if "trained" in heads:
        layers = {f"layer {r.row.layer_number}" for r in rows if r.row.heads == "trained"}
        which = ", ".join(sorted(layers))
        said.append(
            f"Star, trained head: {which}, read through the mixing head that was supervised with "
            "it; other layers and unsupervised models have none, so compare it with best heads."
        )
    return " ".join(said)
