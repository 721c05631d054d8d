"""The command groups of both packages: a command's module is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import click

from cameo_data.cli import common
from cameo_data.cli.command import Command, refuse_repeated_and_remote
from cameo_data.cli.log_lines import log_lines

# key of click's ``Context.meta``: whether the command prints JSON
_JSON = "cameo.json"


class LazyGroup(click.Group):
    """Commands by name, loaded when called; errors that a person can cause in one line.

    Attributes:
        package: its module ``name`` defines ``command``, the command of that name.
        summaries: command -> one line for the group's help.
    """

    package: str
    summaries: Mapping[str, str]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.summaries:
            return None
        command = import_module(f"{self.package}.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, Command)  # or options given twice pass unseen
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click's own would import every command for its first line of help
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        refuse_repeated_and_remote(self, ctx, args)
        ctx.meta[_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with (
            common.errors_as_json(ctx.meta[_JSON]),
            common.errors_in_one_line(with_traceback=bool(ctx.params.get("traceback"))),
            log_lines(quiet=ctx.meta[_JSON]),
        ):
            return super().invoke(ctx)


def lazy_group(
    package: str, summaries: Mapping[str, str]
) -> Callable[[Callable[..., Any]], LazyGroup]:
    """A group, as a decorator; the function under it takes ``traceback``."""

    def decorate(function: Callable[..., Any]) -> LazyGroup:
        with_option = click.option(
            "--traceback", is_flag=True, help="Show where in the code an error arose."
        )(function)
        settings = {"help_option_names": ["-h", "--help"]}
        group = click.group(cls=LazyGroup, context_settings=settings)(with_option)
        group.package, group.summaries = package, summaries
        return group

    return decorate
