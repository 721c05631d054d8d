"""``cameo-data``: the command group. A command's module is imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from cameo_data import __version__
from cameo_data.cli import common

# command -> one line for the group's help; its module defines ``command``
_COMMANDS = {
    "demo": "Scenes, shards, verification and a page of pictures; offline, no input needed.",
    "synth": "Procedural scenes with exact answers, as a dataset on disk.",
    "sources": "The dataset formats that can be read.",
    "inspect": "What is in a dataset's folder; nothing is written.",
    "check": "Are poses, depths and intrinsics right, and if not, which mistake is it?",
    "depth": "Depth maps for scenes that ship none, or better ones.",
    "build-corr": "Posed depth to correspondence shards.",
    "status": "How far a build is, and what to run next.",
    "verify": "Every byte of a build, and its matches computed again.",
    "stats": "Rotation, overlap and verdict shares of a build.",
    "preview": "One page of pictures of a build's matches.",
}


class _Group(click.Group):
    """Commands by name, loaded when called; errors that a person can cause in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"cameo_data.cli.{cmd_name.replace('-', '_')}")
        command = module.command
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
@click.version_option(__version__, prog_name="cameo-data")
@click.option("--traceback", is_flag=True, help="Show where in the code an error arose.")
def main(traceback: bool) -> None:
    """Exact cross-view correspondences from posed depth, packed into WebDataset shards.

    \b
    Start here:
      cameo-data demo
      cameo-data inspect auto MY_RECORDING
      cameo-data check auto MY_RECORDING
      cameo-data build-corr rgbd MY_RECORDING --out shards

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with failures within the allowance,
    75 interrupted (run the same command again to go on).
    """
