"""What is compared: arms are runs that differ from each other in few keys of the configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cameo_data.errors import UsageError

BASELINE = "baseline"


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: in tables and folders.
        meaning: one line for the table.
        changes: keys of ``TrainConfig``, over the preset's.
        against: the arm whose final loss this one is to reach; itself for a baseline.
    """

    name: str
    meaning: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: str = BASELINE


_BASELINE = Arm(BASELINE, "no supervision", {"weight": 0.0})
_CAMEO = Arm("cameo", "one layer supervised, as the preset says")

# of which the experiment is made on request; every arm is one line of the table
_ABLATIONS: dict[str, tuple[Arm, ...]] = {
    "control": (
        Arm("shuffled", "matches dealt out at random: must not help", {"shuffle_matches": True}),
    ),
    "weight": tuple(
        Arm(f"weight-{weight}", f"weight {weight}", {"weight": weight})
        for weight in (0.005, 0.01, 0.05, 0.1)
    ),
    "target": (
        Arm("bilinear", "targets shared by four tokens", {"target_kind": "bilinear"}),
        Arm(
            "patch", "targets follow the whole patch", {"target_kind": "patch", "targets": "online"}
        ),
        Arm(
            "official",
            "the official loss: one target over all views, by points alone",
            {"target_kind": "official"},
        ),
    ),
    "head": (
        Arm("head-mean", "plain mean of heads", {"head_mix": "mean"}),
        Arm("head-linear", "a weight per head", {"head_mix": "linear"}),
    ),
    "directions": (
        Arm("tgt-ref", "target queries, reference keys only", {"directions": ["tgt-ref"]}),
        Arm("ref-tgt", "reference queries, target keys only", {"directions": ["ref-tgt"]}),
        Arm(
            "across",
            "between references and targets only",
            {"directions": ["tgt-ref", "ref-tgt"]},
        ),
    ),
}
_ARCHITECTURES = ("cat3d-tiny", "mvgenmaster-tiny", "hunyuan-dit-tiny")
ABLATIONS = ("control", "layer", "weight", "target", "head", "directions", "stop", "architecture")


def choose(ablations: Iterable[str], *, model: str, layers: int, steps: int) -> list[Arm]:
    """Baseline and cameo, then the arms of each ablation.

    Args:
        model: the preset's, which ``architecture`` leaves out.
        layers: attention layers of the model, each an arm of ``layer``.
        steps: of a run; supervision stops after a third of them in ``stop``.

    Raises:
        UsageError: no such ablation.
    """
    arms = [_BASELINE, _CAMEO]
    for name in ablations:
        if name == "layer":
            arms += [
                Arm(f"layer-{n}", f"layer {n} supervised", {"layer": str(n)}) for n in range(layers)
            ]
        elif name == "stop":
            until = max(1, steps // 3)
            arms.append(Arm("stopped", f"supervised for {until} steps", {"weight_until": until}))
        elif name == "architecture":
            arms += _other_architectures(model)
        elif name in _ABLATIONS:
            arms += _ABLATIONS[name]
        else:
            near = difflib.get_close_matches(name, ABLATIONS, 1, 0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(ABLATIONS)}"
            raise UsageError(f"there is no ablation {name!r}; {hint}")
    return list({arm.name: arm for arm in arms}.values())


def _other_architectures(model: str) -> list[Arm]:
    found = []
    for other in _ARCHITECTURES:
        if other == model:
            continue
        plain = f"{BASELINE}@{other}"
        shared = {"model": other, "layer": None}
        found.append(
            Arm(plain, f"{other} without supervision", {**shared, "weight": 0.0}, against=plain)
        )
        found.append(Arm(f"cameo@{other}", f"{other}, its own layer", shared, against=plain))
    return found
