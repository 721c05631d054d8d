"""What a training run does: one model for the YAML file, the flags and their validation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cameo_data.errors import UsageError
from cameo_data.io import yaml_files
from cameo_data.suggestions import suggestion
from cameo_train.supervision.registry import REGISTRY as LOSSES
from cameo_train.supervision.registry import supervision

# Fields that say how far or how often, not what: a run goes on from its checkpoint under others.
NOT_HASHED = frozenset(
    {"steps", "out", "workers", "log_every", "checkpoint_every", "keep_checkpoints", "sample_every",
     "tracker", "compile", "fsdp", "max_damaged", "shards", "validation", "validate_every",
     "validation_samples", "sample_groups"}
)  # fmt: skip

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Direction = Literal["ref-tgt", "tgt-ref", "tgt-tgt", "ref-ref"]


def _losses(schema: dict[str, Any]) -> None:
    """The known losses, for help texts."""
    schema["examples"] = LOSSES.names()


class TrainConfig(BaseModel):
    """Everything that decides a run.

    Attributes:
        shards: a finished build of ``cameo-data build-corr``.
        model: a preset, see ``cameo_train.models``.
        weights: folder or hub name of pretrained weights, where the preset takes them.
        layer: the attention layer that is supervised, by the model's own numbering or by name;
            None takes the preset's.
        weight: of the correspondence loss beside the diffusion loss; 0 supervises nothing.
        warmup_weight_steps: the weight rises linearly over so many steps.
        weight_until: the weight is 0 from this step on; None for never.
        head_mix: ``mlp`` (official: heads → 4 × heads → 1, GELU), ``linear`` or ``mean``.
        target_kind: the loss and its targets, by name, see ``cameo_train.supervision.registry``:
            ``nearest``, ``bilinear`` or ``patch``, by the shards' verdicts; ``official`` for the
            loss of the official code; or what an installed package offers.
        targets: ``stored`` maps of the shards, or ``online`` from depth and pose.
        directions: which pairs of views are supervised.
        shuffle_matches: a control, matches dealt out to other queries.
        max_rows: supervised (query, key view) rows per sample at most, drawn at random; None all.
        references: least and most reference views, drawn per batch.
        crop: side of a random square window in pixels of the shards, or None.
        size: shorter side that images are scaled to after that, or None for as they are stored.
        lr_warmup_steps, schedule: of the learning rate.
        camera_dropout, reference_dropout: share of samples trained without, for guidance.
        ema: decay, or 0 for none.
        mixed_precision: ``no``, ``bf16`` or ``fp16``.
        fsdp: cut model and optimiser over the processes instead of copying them to each.
        validation: a finished build of held-out scenes, measured every ``validate_every`` steps on
            ``validation_samples`` of its groups; see ``cameo_train.training.validation``.
        max_damaged: damaged samples left out before the run stops.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    shards: str
    out: str
    model: str = "cat3d-tiny"
    weights: str | None = None
    steps: int = Field(1000, ge=1)
    batch: int = Field(2, ge=1)
    accumulate: int = Field(1, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    workers: int = Field(2, ge=0)

    layer: str | None = None
    weight: float = Field(0.02, ge=0, allow_inf_nan=False)
    warmup_weight_steps: int = Field(0, ge=0)
    weight_until: int | None = Field(None, ge=0)
    head_mix: Literal["mlp", "linear", "mean"] = "mlp"
    target_kind: str = Field("nearest", json_schema_extra=_losses)
    targets: Literal["stored", "online"] = "stored"
    directions: tuple[Direction, ...] = ("ref-tgt", "tgt-ref", "tgt-tgt", "ref-ref")
    shuffle_matches: bool = False
    max_rows: int | None = Field(None, ge=1)

    references: tuple[int, int] | None = None
    crop: int | None = Field(None, ge=16)
    size: int | None = Field(None, ge=16)
    flip: bool = True
    shuffle_views: bool = True

    lr: Positive = 1e-4
    weight_decay: float = Field(0.01, ge=0)
    lr_warmup_steps: int = Field(0, ge=0)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    clip: Positive = 1.0
    ema: float = Field(0.0, ge=0, lt=1)
    camera_dropout: float = Field(0.1, ge=0, le=1)
    reference_dropout: float = Field(0.1, ge=0, le=1)

    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    gradient_checkpointing: bool = False
    compile: bool = False
    fsdp: bool = False

    log_every: int = Field(10, ge=1)
    checkpoint_every: int = Field(500, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    sample_every: int = Field(0, ge=0)
    sample_groups: int = Field(4, ge=1)
    validation: str | None = None
    validate_every: int = Field(100, ge=1)
    validation_samples: int = Field(64, ge=1)
    tracker: Literal["none", "tensorboard", "wandb", "mlflow"] = "none"
    max_damaged: int = Field(0, ge=0)

    @field_validator("target_kind")
    @classmethod
    def _is_a_loss(cls, name: str) -> str:
        if name not in (known := LOSSES.names()):
            raise ValueError(
                f"unknown loss; {suggestion(name, known)} "
                "(if a package offers it, install that package)"
            )
        return name

    @model_validator(mode="after")
    def _together(self) -> TrainConfig:
        if self.references is not None and not 1 <= self.references[0] <= self.references[1]:
            raise ValueError("references: expected least and most, both at least 1")
        if self.weight and not self.directions:
            raise ValueError("directions: expected at least one, or weight 0")
        for option in supervision(self.target_kind).refuses:
            field = type(self).model_fields.get(option)
            if field is None:
                raise ValueError(
                    f"target_kind {self.target_kind} refuses {option!r}, which is not an option; "
                    "correct the list `refuses` of that loss"
                )
            if getattr(self, option) != field.default:
                raise ValueError(
                    f"target_kind {self.target_kind}: this loss does not take {option}; "
                    "leave it out"
                )
        if self.fsdp and self.mixed_precision == "fp16":
            raise ValueError("fsdp: works with mixed_precision no or bf16, not with fp16")
        return self

    @property
    def shown_shards(self) -> str:
        """Whose groups pictures show and samples are compared with: held-out ones where given."""
        return self.validation or self.shards

    def weight_at(self, step: int) -> float:
        """Weight of the correspondence loss in a step, counted from 0."""
        if self.weight_until is not None and step >= self.weight_until:
            return 0.0
        return self.weight * min(1.0, (step + 1) / max(1, self.warmup_weight_steps))

    def record(self) -> dict[str, Any]:
        """Plain JSON values of every field."""
        return self.model_dump(mode="json")

    def deciding(self, world: int = 1) -> dict[str, Any]:
        """What a run that goes on must share with the one that stopped.

        The number of steps counts where the learning rate depends on it; the batch is that of all
        ``world`` processes together.
        """
        values = {k: v for k, v in self.record().items() if k not in NOT_HASHED}
        values["batch"] = self.batch * world
        if self.schedule != "constant":
            values["steps"] = self.steps
        return values

    def hash(self, world: int = 1) -> str:
        """SHA-256 of ``deciding``."""
        text = json.dumps(self.deciding(world), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def yaml(self) -> str:
        """The resolved configuration as a file that ``load`` reads back."""
        return yaml.safe_dump(self.record(), sort_keys=False, allow_unicode=True)


def load(path: Path | None, overrides: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a YAML file (or none) with what the flags set.

    Raises:
        UsageError: one line naming key, value and what was expected; for an unknown key the
            nearest known one.
    """
    values = yaml_files.load(path) if path is not None else {}
    try:
        return TrainConfig.model_validate({**values, **overrides})
    except ValidationError as error:
        raise UsageError("; ".join(_problems(error))) from None


def _problems(error: ValidationError) -> Iterator[str]:
    known = list(TrainConfig.model_fields)
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            yield f"unknown key {where!r}; {suggestion(where, known)}"
        elif item["type"] == "missing":
            yield f"key {where!r} is missing"
        else:
            message = item["msg"].removeprefix("Value error, ")
            yield f"{where}: {item['input']!r}: {message}" if where else message
