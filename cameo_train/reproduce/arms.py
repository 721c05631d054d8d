"""Arms: the runs to compare, which differ in a few keys of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cameo_data.errors import UsageError
from cameo_data.suggestions import suggestion
from cameo_train.models import architectures
from cameo_train.reproduce.noisy import Source
from cameo_train.reproduce.presets import first_third

BASELINE, CAMEO, CONTROL = "baseline", "cameo", "shuffled"


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: name in tables and folders.
        meaning: one line for the table.
        changes: keys of ``TrainConfig``, which override the preset's.
        depth: the depth that gives the matches.
        against: the arm whose final loss this one has to reach; itself for a baseline.
    """

    name: str
    meaning: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    against: str = BASELINE
    depth: Source = "exact"

    def repeats(self, settings: Mapping[str, Any]) -> bool:
        """Whether ``settings`` already have the arm's values, such as a weight of 0.1."""
        same = all(key in settings and settings[key] == v for key, v in self.changes.items())
        return bool(self.changes) and self.depth == "exact" and same


_BASELINE = Arm(BASELINE, "no supervision", {"weight": 0.0})
_CAMEO = Arm(CAMEO, "one layer supervised, as the preset says")

# Arms to add on request; every arm is one line of the table.
_ABLATIONS: dict[str, tuple[Arm, ...]] = {
    "control": (Arm(CONTROL, "matches dealt out at random", {"shuffle_matches": True}),),
    "weight": tuple(
        Arm(f"weight-{weight}", f"weight {weight}", {"weight": weight})
        for weight in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
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
        Arm("head-mlp", "the official head, of two layers", {"head_mix": "mlp"}),
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
    "depth": (
        Arm("sensor-depth", "matches from depth with a sensor's noise and holes", depth="sensor"),
        Arm("rough-depth", "matches from depth that is off by a tenth", depth="rough"),
    ),
}
_MANY_TOKENS = "hunyuan-dit-tiny-pixel"  # 32×32 tokens of the images of 32 px
ABLATIONS = (*_ABLATIONS, "layer", "stop", "architecture", "tokens")


def choose(ablations: Iterable[str], *, model: str, layers: Iterable[int], steps: int) -> list[Arm]:
    """Baseline and cameo, then the arms of each ablation.

    Args:
        model: the preset's model, which ``architecture`` leaves out.
        layers: numbers of the model's attention layers, each an arm of ``layer``.
        steps: steps of a run; in ``stop``, supervision ends after a third of them.

    Raises:
        UsageError: there is no such ablation.
    """
    arms = [_BASELINE, _CAMEO]
    for name in ablations:
        if name == "layer":
            arms += [Arm(f"layer-{n}", f"layer {n} supervised", {"layer": str(n)}) for n in layers]
        elif name == "stop":
            until = first_third(steps)
            arms += [
                Arm("stopped", f"supervised for {until} steps", {"weight_until": until}),
                Arm("throughout", "supervised to the end", {"weight_until": None}),
            ]
        elif name == "architecture":
            compared = [name for known in architectures().values() for name in known.compared]
            arms += [arm for other in compared if other != model for arm in _pair(other)]
        elif name == "tokens":
            arms += _pair(_MANY_TOKENS, targets="online")
        elif name in _ABLATIONS:
            arms += _ABLATIONS[name]
        else:
            raise UsageError(f"there is no ablation {name!r}; {suggestion(name, ABLATIONS)}")
    return list({arm.name: arm for arm in arms}.values())


def _pair(model: str, **changes: Any) -> list[Arm]:
    """Another model with supervision of its own layer, and the baseline for comparison."""
    plain = f"{BASELINE}@{model}"
    shared = {"model": model, "layer": None, **changes}
    return [
        Arm(plain, f"{model} without supervision", {**shared, "weight": 0.0}, against=plain),
        Arm(f"{CAMEO}@{model}", f"{model}, its own layer", shared, against=plain),
    ]
