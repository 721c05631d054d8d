"""A matcher that is not made yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cameo_train.matchers.group import Matcher
from cameo_train.protocols.measurement import Protocol


@dataclass(frozen=True)
class MatcherJob:
    """A matcher that is not made yet: what is asked for, and what makes it the same next time.

    Attributes:
        label: for messages and progress.
        identity: results of the same identity are the same; covers weights, not the build.
        make: raises MissingWeights where they are not there, ValueError where they do not fit.
    """

    spec: str
    label: str
    identity: str
    make: Callable[[Protocol, torch.device], Matcher]
