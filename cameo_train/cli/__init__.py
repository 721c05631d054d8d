"""``cameo-train``: the command group. A command's module is imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from cameo_data.cli import common
from cameo_train import __version__

# command -> one line for the group's help; its module defines ``command``
_COMMANDS = {
    "fit": "Train a multi-view diffusion model on shards, with supervised attention.",
    "reproduce": "Train with and without supervision, and compare how soon the loss falls.",
}


class _Group(click.Group):
    """Commands by name, loaded when called; errors that a person can cause in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"cameo_train.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click's own would import every command for its first line of help
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        with common.errors_in_one_line(with_traceback=bool(ctx.params.get("traceback"))):
            return super().invoke(ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cameo-train")
@click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
def main(traceback: bool) -> None:
    """Train on correspondence shards and measure correspondence precision.

    \b
    Start here, with the shards of `cameo-data demo`:
      cameo-train fit --shards demo/shards --out run --steps 200

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with damaged samples left out, 75
    interrupted (run the same command again to go on).
    """
