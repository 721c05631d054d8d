"""Values that a person chooses; what is wrong with them is said in one line.

A recipe, a source's options or a training configuration may be written in Python, in a file or as
flags; each way ends in the same check and the same message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from cameo_data.errors import UsageError
from cameo_data.suggestions import suggestion


class Settings(BaseModel):
    """Base of records whose values a person chooses; frozen, and unknown keys are errors.

    Raises:
        UsageError: one line naming key, value and what was expected; for an unknown key the
            nearest known one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # place of the record in a larger one, for messages
    _within: ClassVar[tuple[str, ...]] = ()

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise type(self)._usage_error(error) from None

    # records inside others are validated by pydantic alone, which then knows every key's place
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def checked(cls, values: Mapping[str, Any], owner: str = "") -> Self:
        """The record of a plain mapping, as a file or flags give it.

        Args:
            owner: whose options the values are, for messages, e.g. ``source 'rgbd'``.

        Raises:
            UsageError: as the constructor.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise cls._usage_error(error, owner) from None

    @classmethod
    def _usage_error(cls, error: ValidationError, owner: str = "") -> UsageError:
        found = _option_problems(error, owner, cls) if owner else _problems(error, cls, cls._within)
        return UsageError("; ".join(found))


def _problems(
    error: ValidationError, model: type[BaseModel], within: tuple[str, ...] = ()
) -> Iterator[str]:
    """What is wrong with the values of a ``model``, a line each."""
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in (*within, *item["loc"]))
        if item["type"] == "extra_forbidden":
            yield f"unknown key {where!r}{_suggest(str(item['loc'][-1]), _known(model, item))}"
        elif item["type"] == "missing":
            yield f"key {where!r} is missing"
        elif item["type"] == "value_error" and isinstance(item["input"], Mapping):
            yield _message(item)  # of a whole record: names its keys already
        else:
            yield f"{where}: {item['input']!r}: {_message(item)}"


def _option_problems(error: ValidationError, owner: str, model: type[BaseModel]) -> Iterator[str]:
    """The same of options, which are not keys of a recipe but stand behind ``-o`` or ``-m``."""
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden" and key == "split":
            yield f"{owner} has no splits; leave the split out, or choose --scenes"
        elif item["type"] == "extra_forbidden":
            yield f"unknown option {key!r} of {owner}{_suggest(key, list(model.model_fields))}"
        elif item["type"] == "missing":
            yield f"option {key!r} of {owner} is missing"
        else:
            yield f"option {key!r} of {owner}: {item['input']!r}: {_message(item)}"


def _known(model: type[BaseModel], item: Any) -> Collection[str]:
    """The keys of the record that holds an unknown one."""
    for part in item["loc"][:-1]:
        field = model.model_fields[part].annotation
        assert isinstance(field, type)
        assert issubclass(field, BaseModel)
        model = field
    return list(model.model_fields)


def _message(item: Any) -> str:
    """A validator's message, to stand behind a colon."""
    text: str = item["msg"].removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _suggest(key: str, known: Collection[str]) -> str:
    return f"; {suggestion(key, known)}" if known else "; it has none"
