"""Writes ``docs/options.md`` from the models of the configuration files: ``python
docs/write_options.py``. A test compares the page with the models.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from cameo_data.cli.build_corr import FLAG_NAMES
from cameo_data.cli.model_flags import default_text
from cameo_data.recipe import Recipe, SourceRecipe
from cameo_train.config import TrainConfig

PAGE = Path(__file__).parent / "options.md"
HEAD = """# Options

Written by `python docs/write_options.py` from the same descriptions as `--help`. A key of a file is
a flag of the command and the other way round: `lr_warmup_steps` is `--lr-warmup-steps`. A key that
takes a list is a flag that is repeated.
"""


def table(model: type[BaseModel], without: frozenset[str] = frozenset()) -> str:
    """The keys of a model with their defaults and descriptions."""
    rows = ["| key | default | |", "| --- | --- | --- |"]
    for key, field in model.model_fields.items():
        if key in without:
            continue
        # what None means is said at the end of a description, for --help
        text, _, meaning = (field.description or "").partition("  [default: ")
        typed = default_text(model, key)
        shown = f"`{typed}`" if typed is not None else meaning.rstrip("]")
        shown = "required" if field.is_required() else shown
        rows.append(f"| `{key}` | {shown} | {re.sub(r'[|]', r'&#124;', text)} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """The whole page."""
    renamed = " and ".join(f"`{key}` is `--{flag}`" for key, flag in FLAG_NAMES.items())
    return "\n".join(
        [
            HEAD,
            "## A build's recipe\n",
            f"[`cameo-data build-corr`](cli.md#building); {renamed}.\n",
            table(Recipe, frozenset({"source"})),
            "The keys of its `source`; `name` and `root` are the command's SOURCE and ROOT:\n",
            table(SourceRecipe),
            "## A training run's configuration\n",
            "[`cameo-train fit`](fit.md).\n",
            table(TrainConfig),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
