"""A matcher that is not yet created."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cameo_train.matchers.group import Matcher
from cameo_train.protocols.measurement import Protocol


@dataclass(frozen=True)
class MatcherJob:
    """A matcher that is not yet created, with the identity that lets a later run reuse its results.

    Attributes:
        label: name for messages and progress.
        identity: equal identities give equal results; covers the weights, not the build.
        make: creates it; raises MissingWeights if weights are missing, ValueError if they do not
            fit.
    """

    spec: str
    label: str
    identity: str
    make: Callable[[Protocol, torch.device], Matcher]
