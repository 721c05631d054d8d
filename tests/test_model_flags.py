"""Flags made of a model's keys: description, type and default are written once, in the model."""

from typing import Annotated, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field

from cameo_data.cli.model_flags import help_text, model_flags
from cameo_data.recipe import Recipe, SourceRecipe
from cameo_train.config import TrainConfig


class Model(BaseModel):
    count: int = Field(3, description="Things to make.")
    most: float | None = Field(None, description="Largest thing.  [default: none]")
    kind: Literal["big", "small"] = Field("big", description="Kind of thing.")
    quiet_now: bool = Field(False, description="Say nothing.")
    sides: tuple[int, ...] = Field((1, 2), description="Sides to have.")
    span: tuple[int, int] | None = Field(None, description="Least and most.")
    share: Annotated[int | float, Field()] = Field(0.5, description="A count or a share.")
    inner: dict[str, int] = Field(default_factory=dict, description="Not a flag.")


def run(*args: str) -> tuple[dict[str, object], str]:
    given: dict[str, object] = {}

    @click.command()
    @model_flags(Model, names={"sides": "side"}, without=("inner",))
    def command(**values: object) -> None:
        given.update(values)

    done = CliRunner().invoke(command, args)
    return given, done.output


def test_what_is_not_given_is_none():
    given, _ = run()
    assert not any(given.values())
    assert list(given) == [key for key in Model.model_fields if key != "inner"]


def test_values_have_the_keys_type():
    given, _ = run(
        *("--count", "4", "--most", "2.5", "--kind", "small", "--quiet-now"),
        *("--side", "7", "--side", "8", "--span", "1", "2", "--share", "5%"),
    )
    assert given == {
        "count": 4, "most": 2.5, "kind": "small", "quiet_now": True, "sides": (7, 8),
        "span": (1, 2), "share": "5%",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [(["--kind", "odd"], "'odd' is not one of"), (["--count", "x"], "'x' is not a valid integer")],
)
def test_values_of_another_type_are_refused(args, message):
    assert message in run(*args)[1]


def test_help_has_description_and_default():
    text = " ".join(run("--help")[1].split())
    for shown in (
        "Things to make. [default: 3]",
        "Largest thing. [default: none]",
        "--quiet-now / --no-quiet-now Say nothing. [default: off]",
        "Sides to have. [default: 1 2]",
    ):
        assert shown in text


@pytest.mark.parametrize("model", [Recipe, SourceRecipe, TrainConfig])
def test_every_key_is_described_as_a_sentence(model):
    for key in model.model_fields:
        if (model, key) != (Recipe, "source"):
            text = help_text(model, key).partition("  [default: ")[0]
            assert text[0].isupper(), key
            assert text.endswith("."), key


def test_a_key_without_description_is_a_mistake():
    class Silent(BaseModel):
        key: int = 1

    with pytest.raises(ValueError, match=r"Silent\.key has no description"):
        help_text(Silent, "key")
