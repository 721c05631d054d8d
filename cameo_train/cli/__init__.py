"""``cameo-train``: the command group. A command's module is imported when it is called."""

from __future__ import annotations

import click

from cameo_data.cli.group import lazy_group
from cameo_train import __version__

# command -> one line for the group's help; its module defines ``command``
_COMMANDS = {
    "fit": "Train a multi-view diffusion model on shards, with supervised attention.",
    "models": "List the models that `fit --model` can train.",
    "precision": "How well attention and features know the geometry, against rotation.",
    "reproduce": "Train with and without supervision, and compare how soon the loss falls.",
}


@lazy_group(__name__, _COMMANDS)
@click.version_option(__version__, prog_name="cameo-train")
def main(traceback: bool) -> None:
    """Train on correspondence shards and measure correspondence precision.

    \b
    Start here, with the shards of `cameo-data demo`:
      cameo-train fit --shards demo/shards --out run --steps 200

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with damaged samples left out, 75
    interrupted (run the same command again to go on).
    """
