"""The class of every command: an option is given once, and paths are local."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import click

from cameo_data.errors import UsageError
from cameo_data.io.local_paths import require_local


class Command(click.Command):
    """A command that refuses input which click accepts silently.

    click keeps the last value of an option that is given twice, and reads ``s3://bucket`` as a
    folder called ``s3:``. Both are refused before the command runs.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        refuse_repeated_and_remote(self, ctx, args)
        return super().parse_args(ctx, args)


def refuse_repeated_and_remote(
    command: click.Command, ctx: click.Context, args: Sequence[str]
) -> None:
    """Looks at the arguments as written, before click converts them.

    Raises:
        click.UsageError: an option that takes one value is given several times, or a value is an
            address such as ``s3://bucket``.
    """
    if ctx.resilient_parsing:  # a shell completes an unfinished line
        return
    values, _, given = command.make_parser(ctx).parse_args(list(args))
    for parameter, times in Counter(given).items():
        single = isinstance(parameter, click.Option) and not (parameter.multiple or parameter.count)
        if single and times > 1:
            raise click.UsageError(
                f"{_shown(parameter)} is given {times} times; give it once, with the value that "
                "you mean",
                ctx,
            )
    for parameter in command.params:
        for text in _texts(values.get(parameter.name or "")):
            try:
                require_local(text, _shown(parameter))
            except UsageError as error:
                raise click.UsageError(str(error), ctx) from None


def _shown(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        # the long form of -o/--option; --flip/--no-flip by its first
        return max(parameter.opts, key=len)
    return parameter.human_readable_name


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
