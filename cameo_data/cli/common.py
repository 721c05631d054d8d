"""What all commands share: exit codes, errors in one line, options, JSON and progress."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click
from tqdm import tqdm

from cameo_data.errors import EXTRA_OF, DataError, UsageError, needs, plural
from cameo_data.io import os_errors
from cameo_data.io.yaml_files import parse_option

if TYPE_CHECKING:
    from cameo_data.recipe import SourceRecipe
    from cameo_data.types import Progress

F = TypeVar("F", bound=Callable[..., Any])


class ExitCode(IntEnum):
    """What a command's exit status says; INTERRUPTED is sysexits.h's EX_TEMPFAIL."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DONE_WITH_FAILURES = 3
    INTERRUPTED = 75


@contextmanager
def errors_in_one_line(with_traceback: bool = False) -> Iterator[None]:
    """Turns errors that a person can cause into ``error: …`` and exit code 1 or 2, a stop into 75.

    Other errors are ours and keep their traceback.
    """
    try:
        with _terminate_as_interrupt():
            yield
    except KeyboardInterrupt:
        _tell(_INTERRUPTED)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        # the reader of our output has seen enough, as in `… | head`; Python must not write again
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        raise click.exceptions.Exit(ExitCode.FAILED) from None
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if with_traceback or package not in EXTRA_OF:
            raise
        _tell(needs("this command", package), "error: ")
        raise click.exceptions.Exit(ExitCode.FAILED) from None
    except (DataError, ValueError, OSError) as error:
        if with_traceback or (isinstance(error, OSError) and error.strerror is None):
            raise
        _tell(_one_line(error), "error: ")
        usage = isinstance(error, UsageError)
        raise click.exceptions.Exit(ExitCode.USAGE if usage else ExitCode.FAILED) from None


@contextmanager
def errors_as_json(asked: bool) -> Iterator[None]:
    """Under ``--json``, a command that fails before it has printed its object prints one that says
    why: standard output is one JSON object whatever the exit code.
    """
    try:
        yield
    except (click.exceptions.Exit, click.ClickException) as error:
        state = _state()
        if asked and error.exit_code and not state.get(_PRINTED):
            why = state.get(_ERROR) or _FAILED
            if isinstance(error, click.ClickException):
                why = error.format_message()
            elif error.exit_code == ExitCode.INTERRUPTED:
                why = _INTERRUPTED
            code = int(error.exit_code)
            echo_json({"finished": False, "error": " ".join(why.split()), "exit_code": code})
        raise


_INTERRUPTED = "interrupted; run the same command again to go on"
_FAILED = "failed; standard error says why"
# keys of click's ``Context.meta``, which a command shares with its group
_PRINTED, _ERROR = "cameo.json_printed", "cameo.error"


def _state() -> dict[str, Any]:
    """What is known of the command that runs; an empty dictionary where none does."""
    ctx = click.get_current_context(silent=True)
    return {} if ctx is None else ctx.meta


def _tell(line: str, prefix: str = "") -> None:
    """An error for people now, and for ``errors_as_json``."""
    _state()[_ERROR] = line
    click.echo(prefix + line, err=True)


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError):
        text = os_errors.described(error)
    return " ".join(text.split())


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM, which schedulers send, stops a command the way Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread, where signals never arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def json_option(command: F) -> F:
    """``--json``: the result as one JSON object on standard output."""
    option = click.option("--json", "as_json", is_flag=True, help="One JSON object for machines.")
    return option(command)


def echo_json(value: Mapping[str, Any]) -> None:
    """One JSON object, readable, non-ASCII kept."""
    _state()[_PRINTED] = True
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def source_options(command: F) -> F:
    """``-o key=value``: options of the format, checked by its model."""
    return click.option(
        "-o",
        "--option",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        callback=parse_options,
        help=f"{_of_source('options')} Repeat the flag.",
    )(command)


def subset_options(command: F) -> F:
    """``--scenes``, ``--limit`` and ``--split``: which scenes; see ``source_values``."""
    for option in (
        click.option("--split", help="Only this split, of formats that have splits."),
        click.option("--limit", type=click.IntRange(1), metavar="N", help=_of_source("limit")),
        click.option("--scenes", multiple=True, metavar="GLOB", help=_of_source("scenes")),
    ):
        command = option(command)
    return command


def depth_options(command: F) -> F:
    """``--depth`` and ``--depth-confidence``: depth from a folder instead of the dataset's own."""
    for option in (
        click.option(
            "--depth-confidence",
            type=click.FloatRange(0, 1),
            metavar="C",
            help=_of_source("depth_confidence"),
        ),
        click.option(
            "--depth",
            "depth",
            type=click.Path(path_type=Path),
            metavar="D",
            help=_of_source("depth"),
        ),
    ):
        command = option(command)
    return command


def _of_source(key: str) -> str | None:
    """The description of a key of a recipe's ``source``."""
    from cameo_data.recipe import SourceRecipe

    return SourceRecipe.model_fields[key].description


def depth_values(depth: Path | None, confidence: float | None) -> dict[str, Any]:
    """What ``depth_options`` set, as keys of the recipe's ``source``.

    Raises:
        click.UsageError: a confidence without a folder.
    """
    if depth is None and confidence is not None:
        raise click.UsageError("--depth-confidence goes with --depth")
    values = {"depth": None if depth is None else str(depth), "depth_confidence": confidence}
    return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True)
class Chosen:
    """The scenes that a command's SOURCE, ROOT and flags name."""

    source: str
    root: Path
    options: Mapping[str, Any]
    scenes: Sequence[str]
    limit: int | None
    split: str | None
    depth: Path | None
    depth_confidence: float | None

    @property
    def guessed(self) -> bool:
        """Whether the format is left to be found out."""
        return self.source == "auto"

    def recipe(self, quiet: bool) -> SourceRecipe:
        """Checked, the format found out; see ``resolve_source`` for ``quiet``.

        Raises:
            ValueError: no format, or none of these options.
        """
        from cameo_data.recipe import source_recipe

        name = resolve_source(self.source, self.root, quiet)
        values = source_values(name, self.root, self.options, self.scenes, self.limit, self.split)
        return source_recipe(values | depth_values(self.depth, self.depth_confidence))


def chosen_scenes(command: Callable[..., Any]) -> Callable[..., Any]:
    """SOURCE, ROOT and the flags that choose scenes, as the first argument: a ``Chosen``."""

    @functools.wraps(command)
    def with_chosen(
        source: str,
        root: Path,
        options: Mapping[str, Any],
        scenes: Sequence[str],
        limit: int | None,
        split: str | None,
        depth: Path | None,
        depth_confidence: float | None,
        **others: Any,
    ) -> Any:
        chosen = Chosen(
            source=source,
            root=root,
            options=options,
            scenes=scenes,
            limit=limit,
            split=split,
            depth=depth,
            depth_confidence=depth_confidence,
        )
        return command(chosen, **others)

    with_flags = source_options(subset_options(depth_options(with_chosen)))
    with_root = click.argument("root", type=click.Path(path_type=Path))(with_flags)
    return click.argument("source")(with_root)


def source_values(
    name: str,
    root: Path,
    options: Mapping[str, Any],
    scenes: Sequence[str] = (),
    limit: int | None = None,
    split: str | None = None,
) -> dict[str, Any]:
    """The recipe's ``source`` that a command's arguments and flags give; what is unset is absent.

    Raises:
        click.UsageError: the split is given twice.
    """
    return {"name": name, "root": str(root), **subset_values(options, scenes, limit, split)}


def subset_values(
    options: Mapping[str, Any], scenes: Sequence[str], limit: int | None, split: str | None
) -> dict[str, Any]:
    """As ``source_values``, without name and root."""
    if split is not None:
        if "split" in options:
            raise click.UsageError("give --split NAME or -o split=NAME, not both")
        options = {**options, "split": split}
    values = {"options": dict(options), "scenes": list(scenes), "limit": limit}
    return {key: value for key, value in values.items() if value}


def parse_options(
    _ctx: click.Context, _parameter: click.Parameter, values: Sequence[str]
) -> dict[str, Any]:
    """The callback of flags of the kind ``KEY=VALUE`` that may be repeated."""
    options: dict[str, Any] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r}; expected KEY=VALUE")
        if key in options:
            raise click.BadParameter(f"{key!r} is given twice")
        options[key] = parse_option(value)
    return options


def resolve_source(name: str, root: Path, quiet: bool = False) -> str:
    """``name``, or for ``auto`` the one format that the folder looks like, said on stderr.

    Args:
        quiet: do not say it.

    Raises:
        ValueError: none or several do.
    """
    if name != "auto":
        return name
    from cameo_data.sources import source_names
    from cameo_data.sources.common.raw_captures import advice
    from cameo_data.sources.common.recognition import formats_of

    if not root.is_dir():
        raise ValueError(advice(root) or f"{root}: no such folder; give the dataset's root")
    found = formats_of(root)
    if len(found) == 1:
        if not quiet:
            click.echo(f"{root} looks like format {found[0]}", err=True)
        return found[0]
    if found:
        raise ValueError(f"{root} looks like {' and '.join(found)}; name one instead of `auto`")
    if (known := advice(root)) is not None:
        raise ValueError(known)
    raise ValueError(
        f"{root} looks like none of {', '.join(source_names())}; name the format and describe "
        "the folder by -o options (see `cameo-data sources`)"
    )


@contextmanager
def progress(quiet: bool = False) -> Iterator[Progress]:
    """A reporter of stages: a bar on a terminal, about ten plain lines a stage elsewhere."""
    if quiet:
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        yield from _bars()
    else:
        yield _plain_line


def _bars() -> Iterator[Progress]:
    bars: dict[str, tqdm[Any]] = {}

    def report(stage: str, done: int, total: int) -> None:
        bar = bars.get(stage)
        if bar is None:
            bar = bars[stage] = tqdm(total=total, desc=stage, dynamic_ncols=True, file=sys.stderr)
        bar.update(done - bar.n)
        bar.refresh()

    try:
        yield report
    finally:
        for bar in bars.values():
            bar.close()


def _plain_line(stage: str, done: int, total: int) -> None:
    tenth = max(1, total // 10)
    if done == total or (done and done % tenth == 0):
        click.echo(f"{stage}: {done}/{total}", err=True)


def note_line(note: str, scenes: int, example: str) -> str:
    """A source's note, with the scene that it is about or the number of scenes."""
    return f"note ({example if scenes == 1 else plural(scenes, 'scene')}): {note}"


def unused_line(what: str, count: int, examples: Sequence[str]) -> str:
    """A kind of files that no frame uses, with some names."""
    names = f" ({', '.join(examples)})" if examples else ""
    return f"not used ({count}): {what}{names}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns, two spaces apart; the last column is not padded."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in rows
    )
