"""What the library logs, shown by the commands."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

PACKAGES = ("cameo_data", "cameo_train")


class _Lines(logging.Handler):
    """A line on standard error for each message, as it is."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage(), err=True)


@contextmanager
def log_lines(quiet: bool) -> Iterator[None]:
    """Inside, notes and warnings of both packages are shown on standard error.

    Args:
        quiet: show none, as under ``--json``, whose object has them.
    """
    handler = logging.NullHandler() if quiet else _Lines()
    with ExitStack() as undo:
        for name in PACKAGES:
            logger = logging.getLogger(name)
            undo.callback(logger.setLevel, logger.level)
            undo.callback(logger.removeHandler, handler)
            logger.setLevel(logging.INFO)
            logger.addHandler(handler)
        yield
