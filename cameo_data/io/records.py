"""Records as JSON: equal values give equal bytes, and a bad record gives a one-line error."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cameo_data.errors import Failure
from cameo_data.io.parsing import check_json_size


def canonical_json(value: Any) -> bytes:
    """JSON that is the same for equal values: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def failure_lines(failures: Iterable[Failure]) -> bytes:
    """``failures.jsonl``: one line of canonical JSON per failure."""
    return b"".join(canonical_json(failure.record()) + b"\n" for failure in failures)


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], data: bytes, what: str) -> M:
    """The record in JSON bytes.

    Raises:
        ValueError: the values do not fit the model; one line that begins with ``what``.
    """
    try:
        check_json_size(data)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(first_problem(error, what)) from None


def made(model: type[M], what: str, **values: Any) -> M:
    """The record with these values.

    Raises:
        ValueError: as ``parse``.
    """
    try:
        return model(**values)
    except ValidationError as error:
        raise ValueError(first_problem(error, what)) from None


def first_problem(error: ValidationError, what: str) -> str:
    """The first problem and its place."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join([what, *map(str, first["loc"])])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message[:1].lower()}{message[1:]}"
