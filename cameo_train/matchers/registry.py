"""Kinds of matchers by name, including those of installed packages.

A package offers a kind through the entry point group ``cameo_train.matchers``: a function that
takes the text after the colon in ``--features`` (or None) and the device, and returns a
``DenseFeatures`` or a ``KeypointMatcher``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cameo_data.errors import UsageError
from cameo_data.plugins import Registry
from cameo_data.suggestions import suggestion
from cameo_train.matchers.argument import Argument
from cameo_train.matchers.group import Matcher
from cameo_train.matchers.job import MatcherJob
from cameo_train.matchers.options import AttentionOptions
from cameo_train.protocols.measurement import Protocol

Factory = Callable[[str | None, torch.device], Any]

# kind -> the dictionary that holds the kind's factory
_TABLES = {
    **dict.fromkeys(
        ("sift", "aliked", "disk", "dinov2", "dinov3", "sd", "vggt"),
        "cameo_train.matchers.features:FEATURES",
    ),
    **dict.fromkeys(
        ("sift-matches", "aliked-lightglue", "disk-lightglue"),
        "cameo_train.matchers.keypoints:KEYPOINTS",
    ),
}
_OURS = ("attention", "oracle", "chance")
REGISTRY = Registry("features", "cameo_train.matchers", _TABLES)


def kinds() -> list[str]:
    """All available kinds."""
    return sorted({*_OURS, *REGISTRY.names()})


def split(text: str) -> list[str]:
    """The specs of a comma list, each of an available kind.

    Raises:
        UsageError: a kind is unknown (the message gives the nearest), or a spec appears twice.
    """
    specs = [part.strip() for part in text.split(",") if part.strip()]
    if not specs:
        raise UsageError("--features is empty; expected e.g. sift,attention:RUN")
    for spec in specs:
        kind = spec.partition(":")[0]
        if kind not in kinds():
            raise UsageError(f"unknown features {kind!r}; {suggestion(kind, kinds())}")
        if specs.count(spec) > 1:
            raise UsageError(f"features {spec!r} appear twice")
    return specs


def jobs(spec: str, attention: AttentionOptions) -> list[MatcherJob]:
    """The jobs that measure a spec, one per checkpoint.

    Raises:
        ValueError: the argument is wrong, or there is no such checkpoint.
    """
    kind, colon, argument = spec.partition(":")
    given = argument if colon else None
    if kind == "attention":
        from cameo_train.matchers.run_attention import attention_jobs

        return attention_jobs(spec, given, attention)
    if kind in ("oracle", "chance") and given is not None:
        raise UsageError(f"{spec}: {kind} takes nothing after a colon")
    return [
        MatcherJob(spec, spec, f"{spec} {_stamp(kind, given)}", partial(_make, kind, given, spec))
    ]


def _make(
    kind: str, argument: str | None, spec: str, protocol: Protocol, device: torch.device
) -> Matcher:
    from cameo_train.matchers import dense, keypoint_matcher

    if kind == "oracle":
        return dense.Oracle(spec, protocol)
    if kind == "chance":
        return dense.Chance(spec, protocol)
    made = _factory(kind)(argument, device)
    if hasattr(made, "descriptors"):
        return dense.FeatureMatcher(made, spec, protocol)
    if hasattr(made, "matches"):
        return keypoint_matcher.OwnPoints(made, spec, protocol)
    raise TypeError(
        f"{kind} gave a {type(made).__name__}, which has neither descriptors() nor matches()"
    )


def _factory(kind: str) -> Factory:
    if kind in _TABLES:
        factory: Factory = REGISTRY.load(kind, dict)[kind]
        return factory
    return REGISTRY.load(kind, Callable)  # type: ignore[arg-type]


def _stamp(kind: str, argument: str | None) -> str:
    """A stamp that changes with the files of a local folder of weights; empty for hub ids."""
    path = Path(Argument(kind, argument).main or "/nowhere")
    if not path.exists():
        return ""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return " ".join(f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in files)
