"""What a training run does: one model for the YAML file, the flags and their validation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from cameo_data.io import yaml_files
from cameo_data.io.settings import Settings
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


class TrainConfig(Settings):
    """Everything that decides a run."""

    shards: str = Field(description="Folder of a finished build of `cameo-data build-corr`.")
    out: str = Field(description="Folder for checkpoints, metrics and pictures.")
    model: str = Field(
        default="cat3d-tiny",
        description="Name of a model; `cameo-train models` lists them.",
    )
    weights: str | None = Field(
        default=None,
        description="Folder or hub name of pretrained weights, where the preset takes them.  "
        "[default: none]",
    )
    steps: int = Field(default=1000, ge=1, description="Number of optimiser steps.")
    batch: int = Field(default=2, ge=1, description="Samples per process and micro-batch.")
    accumulate: int = Field(default=1, ge=1, description="Micro-batches per optimiser step.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Seed of all random choices.")
    workers: int = Field(
        default=2,
        ge=0,
        description="Processes that read shards; 0 reads them in the training process.",
    )

    layer: str | None = Field(
        default=None,
        description="Attention layer to supervise: its number, official:10, or part of its "
        "name.  [default: the preset's]",
    )
    weight: float = Field(
        default=0.02,
        ge=0,
        allow_inf_nan=False,
        description="Weight of the correspondence loss beside the diffusion loss; 0 supervises "
        "nothing.",
    )
    warmup_weight_steps: int = Field(
        default=0, ge=0, description="Steps over which the correspondence weight rises linearly."
    )
    weight_until: int | None = Field(
        default=None,
        ge=0,
        description="Step from which the correspondence weight is 0.  [default: never]",
    )
    head_mix: Literal["mlp", "linear", "mean"] = Field(
        default="mlp",
        description="How the logits of all heads become one: mlp (official: heads → 4 × heads → "
        "1, GELU), linear or mean.",
    )
    target_kind: str = Field(
        default="nearest",
        json_schema_extra=_losses,
        description="Loss on the supervised layer: nearest, bilinear or patch targets by the "
        "shards' verdicts; official, the loss of the official code, which looks at points alone; "
        "or one that an installed package adds.",
    )
    targets: Literal["stored", "online"] = Field(
        default="stored",
        description="Source of the matches: stored in the shards, or computed online from depth "
        "and pose.",
    )
    directions: tuple[Direction, ...] = Field(
        default=("ref-tgt", "tgt-ref", "tgt-tgt", "ref-ref"),
        description="Pairs of views to supervise, the query's view first; repeat the flag.",
    )
    shuffle_matches: bool = Field(
        default=False,
        description="Give matches to other queries of the pair, as a control experiment.",
    )
    max_rows: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of supervised rows (query, key view) per sample, drawn at "
        "random.  [default: all]",
    )

    references: tuple[int, int] | None = Field(
        default=None,
        description="Minimum and maximum number of reference views, drawn per batch.  [default: "
        "1 to views − 1]",
    )
    crop: int | None = Field(
        default=None,
        ge=16,
        description="Side of a random square window, in pixels of the shards.  [default: the "
        "whole image]",
    )
    size: int | None = Field(
        default=None,
        ge=16,
        description="Shorter side to scale images to after cropping, in pixels.  [default: as "
        "stored]",
    )
    flip: bool = Field(default=True, description="Mirror half of all samples.")
    shuffle_views: bool = Field(
        default=True, description="Shuffle the views of half of all samples."
    )

    lr: Positive = Field(default=1e-4, description="AdamW learning rate.")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW weight decay.")
    lr_warmup_steps: int = Field(
        default=0, ge=0, description="Steps over which the learning rate rises linearly."
    )
    schedule: Literal["constant", "cosine", "linear"] = Field(
        default="constant", description="Learning-rate schedule."
    )
    clip: Positive = Field(default=1.0, description="Maximum gradient norm.")
    ema: float = Field(
        default=0.0, ge=0, lt=1, description="Decay of the averaged weights; 0 keeps none."
    )
    camera_dropout: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of samples trained without cameras, for guidance.",
    )
    reference_dropout: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of samples trained without references, for guidance.",
    )

    mixed_precision: Literal["no", "bf16", "fp16"] = Field(
        default="no", description="Number format that the network computes in."
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations: less memory, a third more time."
    )
    compile: bool = Field(default=False, description="Compile the network with torch.compile.")
    fsdp: bool = Field(
        default=False,
        description="Divide model and optimiser among the processes instead of copying them to "
        "each.",
    )

    log_every: int = Field(
        default=10,
        ge=1,
        description="Steps between log lines, and between measurements of precision.",
    )
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(default=2, ge=1, description="Number of checkpoints to keep.")
    sample_every: int = Field(
        default=0, ge=0, description="Steps between pictures of sampled views; 0 draws none."
    )
    sample_groups: int = Field(
        default=4, ge=1, description="Number of groups to sample and compare."
    )
    validation: str | None = Field(
        default=None,
        description="Folder of a finished build of held-out scenes to measure on.  [default: none]",
    )
    validate_every: int = Field(
        default=100, ge=1, description="Steps between measurements on the held-out scenes."
    )
    validation_samples: int = Field(
        default=64, ge=1, description="Number of held-out groups to measure on."
    )
    tracker: Literal["none", "tensorboard", "wandb", "mlflow"] = Field(
        default="none", description="Experiment tracker that also receives the metrics."
    )
    max_damaged: int = Field(
        default=0, ge=0, description="Number of damaged samples to leave out before the run stops."
    )

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
    return TrainConfig.checked({**values, **overrides})
