"""``python -m benchmarks``: every figure of ``docs/benchmarks.md``, as Markdown on the terminal.

Most parts need only the package; ``speed`` needs kornia and romatch (see ``make bench``). Parts
that take minutes run only when named: ``imperfect``, ``check``, ``yardsticks``, ``listing``,
``intervals``, ``precision``, ``depth``, which sweeps some forty views, and ``constants``, which
recompiles the kernel some twenty times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import click

from benchmarks import accuracy
from cameo_data.types import Verdict

SIZES = ((480, 640), (512, 512))
SEEDS = (0, 1, 2)


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def accuracy_part() -> Iterator[str]:
    """Clean depth, noise, other units."""
    columns = [
        accuracy.clean([c for seed in SEEDS for c in accuracy.all_cases(hw, seed)]) for hw in SIZES
    ]
    yield "### Clean depth\n"
    rows = []
    for figures in zip(*columns, strict=True):
        first = figures[0]
        sign = "≥" if first.at_least else "≤"
        cells = [_number(f) + ("" if f.met else " **missed**") for f in figures]
        rows.append([first.name, f"{sign} {first.target:g}", *cells])
    yield table(["figure", "target", *(f"{w}×{h}" for h, w in SIZES)], rows)
    yield "### 5 % of pixels dropped, depth noise constant within blocks\n"
    found = accuracy.all_cases((480, 640), 0)
    rows = []
    for noise, blocks in ((0.005, (1, 2, 4, 8, 16, 32)), (0.0, (1,)), (0.01, (8,)), (0.02, (8,))):
        for block in blocks:
            figures = accuracy.noisy(found, block, noise)
            asked = noise == 0.005
            rows.append(
                [f"{100 * noise:g} %", f"{block} px", *(f"{f.value:.4f}" for f in figures),
                 ("yes" if all(f.met for f in figures) else "**no**") if asked else ""]
            )  # fmt: skip
    yield table(["noise", "blocks", "precision", "recall", "0.98 and 0.92 reached"], rows)
    yield "### Another unit of length\n"
    rows = []
    for hw in SIZES:
        for factor in (0.001, 1000.0):
            changed, total = accuracy.changed_by_scale(accuracy.all_cases(hw, 0), factor)
            rows.append([f"{hw[1]}×{hw[0]}", f"× {factor:g}", str(changed), f"{total:,}"])
    yield table(["size", "lengths", "verdicts changed", "of"], rows)


def _number(figure: accuracy.Figure) -> str:
    return f"{figure.value:.2g}" if "(px)" in figure.name else f"{figure.value:.5f}"


def speed_part() -> Iterator[str]:
    """One ordered pair at 512×512, one thread."""
    from benchmarks import speed

    timings = speed.measure()
    base = timings[0].ms
    yield "### One ordered pair, 512×512, every pixel, one thread, one process\n"
    rows = [[t.name, f"{t.ms:.2f} ms", f"{t.ms / base:.1f}"] for t in timings]
    yield table(["", "fastest of 40 rounds", "ratio"], rows)
    pairs = speed.by_pair()
    rows = [[t.name, f"{t.ms / base:.2f}"] for t in pairs]
    mean = sum(t.ms for t in pairs) / len(pairs)
    rows.append(["mean", f"{mean / base:.2f} ({mean:.2f} ms)"])
    yield table(["view pair", "cost, relative to the above"], rows)


def real_part() -> Iterator[str]:
    """The captures beside the repository, where they are."""
    from benchmarks import real

    rows = []
    for one in real.measure():
        shares = [f"{100 * one.agreement.share(v):.1f}" for v in Verdict]
        a, b = one.agreement.median_warped, one.agreement.median_unwarped
        rows.append([one.name, one.frames, str(one.agreement.pairs),
                     "–" if a is None else f"{a:.1f}", "–" if b is None else f"{b:.1f}",
                     *shares])  # fmt: skip
    yield "### Real captures\n"
    names = [v.name for v in Verdict]
    headings = ["set", "frames = used + left out + failed", "pairs", "matched", "in place", *names]
    yield table(headings, rows) if rows else "No captures found.\n"


def yardsticks_part() -> Iterator[str]:
    """The READMEs' figures of the captures, measured again through the sources."""
    from benchmarks import yardsticks

    rows = [row.cells() for row in yardsticks.measure()]
    yield "### Real captures beside their yardsticks\n"
    yield table(yardsticks.HEADINGS, rows) if rows else "No captures found.\n"


def listing_part() -> Iterator[str]:
    """20,000 scenes of each of some formats."""
    from benchmarks import listing

    yield f"### {listing.SCENES:,} scenes\n"
    rows = [
        [one.name, f"{one.list_s:.2f} s", f"{one.kb_tenth:.2f} kB", f"{one.kb:.2f} kB",
         f"{one.inspect_s:.1f} s ({one.inspect_cpu_s:.1f} s)"]
        for one in listing.measure()
    ]  # fmt: skip
    headings = ["format", "time to list", "memory per scene, a tenth of the scenes",
                "memory per scene, all", "`inspect auto` (processor time)"]  # fmt: skip
    yield table(headings, rows)


def constants_part() -> Iterator[str]:
    """One constant changed at a time."""
    from benchmarks import constants

    yield "### The constants\n"
    rows = [
        [name, "" if value != value else f"{value:g}", *(f"{x:.5f}" for x in figures)]
        for name, value, figures in constants.sweep()
    ]
    yield table(["constant", "value", *constants.HEADINGS], rows)


def imperfect_part() -> Iterator[str]:
    """Thinned depth and depth in whole steps."""
    from benchmarks import imperfect, middlebury

    cases = accuracy.all_cases((480, 640), 0)
    yield "### Thinned depth\n"
    rows = []
    for noise in (0.0, 0.005):
        for pattern in imperfect.PATTERNS:
            for share in (0.5, 0.25, 0.1, 0.05):
                figures = imperfect.thinned(cases, pattern, share, noise).figures()
                rows.append([pattern, f"{100 * share:g} %", f"{100 * noise:g} %",
                             *(_figure(f) for f in figures)])  # fmt: skip
    names = [f.name for f in figures]
    yield table(["pattern", "pixels known", "noise", *names], rows)
    yield "### Depth in whole steps\n"
    stereo = tuple(imperfect.stereo_cases((480, 640)))
    found = {step: imperfect.stepped(stereo, step) for step in imperfect.STEPS}
    names = [f.name for f in found["mm"]]
    yield table(["step", *names], [[step, *map(_figure, fs)] for step, fs in found.items()])
    if middlebury.REALDATA.is_dir():
        yield table(middlebury.HEADINGS, middlebury.rows())


def _figure(figure: accuracy.Figure) -> str:
    return f"{figure.value:.4f}" + ("" if figure.met else " **missed**")


def depth_part() -> Iterator[str]:
    """Depth methods against exact truth, stereo and sensors."""
    from benchmarks import depth

    for title, headings, rows in depth.rows():
        yield f"### {title}\n"
        yield table(headings, rows)


def intervals_part() -> Iterator[str]:
    """Whether the intervals of precision hold what they should, and chance is what is computed."""
    from benchmarks import precision_intervals as measured

    yield table(measured.HEADINGS, list(measured.lines()))
    yield table(measured.CHANCE_HEADINGS, list(measured.chance_lines()))


def precision_part() -> Iterator[str]:
    """``cameo-train precision`` against a loop over pairs in the published style."""
    from benchmarks import precision

    yield table(precision.HEADINGS, list(precision.lines()))


def check_part() -> Iterator[str]:
    """What ``cameo-data check`` names of mistakes planted in scenes of several kinds."""
    from benchmarks.check import table as planted

    yield table(planted.HEADINGS, list(planted.rows()))


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "accuracy": accuracy_part,
    "imperfect": imperfect_part,
    "speed": speed_part,
    "real": real_part,
    "yardsticks": yardsticks_part,
    "listing": listing_part,
    "constants": constants_part,
    "depth": depth_part,
    "intervals": intervals_part,
    "precision": precision_part,
    "check": check_part,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
def main(parts: tuple[str, ...], **_: Any) -> None:
    """Print the figures of PARTS (default: accuracy, speed and real)."""
    for name in parts or ("speed", "accuracy", "real"):
        for text in PARTS[name]():
            click.echo(text)


if __name__ == "__main__":
    main()
