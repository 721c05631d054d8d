"""What a check found, as lines for people and as a record for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cameo_data.check.figures import Figures
from cameo_data.check.fixes import MISTAKES, Fix, current_options, fix_of, named
from cameo_data.check.judge import SceneCheck
from cameo_data.check.states import Named
from cameo_data.check.suspects import Suspect
from cameo_data.errors import DataError, Failure, plural
from cameo_data.recipe import SourceRecipe
from cameo_data.sources import Source
from cameo_data.sources.common.subset import unwrapped

MAX_FAILURE_LINES = 10


@dataclass(frozen=True, eq=False)
class Report:
    """The checks of some of a dataset's ``scenes`` scenes.

    Attributes:
        failures: scenes that could not be listed.
    """

    recipe: SourceRecipe
    source: Source
    scenes: int
    checks: Sequence[SceneCheck]
    failures: Sequence[Failure]

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "source": self.recipe.name,
            "dataset": self.source.dataset,
            "root": self.recipe.root,
            "scenes_found": self.scenes,
            "consistent": bool(self.checks)
            and all(check.verdict == "consistent" for check in self.checks),
            "scenes": [self._scene_record(check) for check in self.checks],
            "failures": [failure.record() for failure in self.failures],
        }

    def _scene_record(self, check: SceneCheck) -> dict[str, Any]:
        return {
            "scene_id": check.scene_id,
            "verdict": check.verdict,
            "views": check.views,
            "pairs": check.pairs,
            "figures": None if check.figures is None else check.figures.record(),
            "mistakes": [
                {
                    "name": name,
                    "description": MISTAKES[name].description,
                    "options": fix.options,
                    "fix": fix.text,
                    "figures_without_it": mistake.after.record(),
                    "gain": round(mistake.gain.factor, 2),
                    "pairs_better": round(mistake.gain.share, 3),
                }
                for mistake, name, fix in self.fixes(check)
            ],
            "better_still_bad": [
                {"name": mistake.suspect, "figures_without_it": mistake.after.record()}
                for mistake in check.partial
            ],
            "complaints": list(check.complaints),
            "failures": [failure.record() for failure in check.failures],
        }

    def fixes(self, check: SceneCheck) -> Iterator[tuple[Named, Suspect, Fix]]:
        """Each mistake with its name in the source's own convention and what undoes it."""
        if not check.mistakes:
            return
        whole = unwrapped(self.source)
        current = current_options(self.recipe.name, self.recipe.options, whole, check.scene_id)
        try:
            frame = whole.scene(check.scene_id).frames[0]
        except DataError:
            return
        for mistake in check.mistakes:
            name = named(mistake.suspect, self.recipe.name, current)
            fix = fix_of(name, mistake.values, current, frame)
            current = {**current, **fix.options}
            yield mistake, name, fix

    def lines(self) -> list[str]:
        """For people."""
        part = f", {len(self.checks)} of them examined" if len(self.checks) < self.scenes else ""
        scenes = plural(self.scenes, "scene")
        out = [f"{self.source.dataset} (format {self.recipe.name}): {scenes}{part}"]
        for check in self.checks:
            out += ["", *self._scene_lines(check)]
        messages = [f.message for f in self.failures]
        messages += [f.message for check in self.checks for f in check.failures]
        if messages:
            out += ["", f"{len(messages)} could not be read:"]
            out += [f"  {message}" for message in messages[:MAX_FAILURE_LINES]]
            if len(messages) > MAX_FAILURE_LINES:
                out.append(f"  … and {len(messages) - MAX_FAILURE_LINES} more (see --json)")
        return out

    def _scene_lines(self, check: SceneCheck) -> Iterator[str]:
        pairs = plural(check.pairs, "pair")
        yield f"{check.scene_id}: {check.verdict} ({check.views} views, {pairs})"
        if check.figures is not None:
            yield from (f"  {line}" for line in _figure_lines(check.figures))
        for complaint in check.complaints:
            yield f"  {'not judged' if check.verdict == 'undecided' else 'bad'}: {complaint}"
        for mistake, name, fix in self.fixes(check):
            yield f"  mistake: {MISTAKES[name].description}"
            yield f"    apply: {fix.text}"
            yield "    then:  " + "; ".join(_figure_lines(mistake.after))
        if check.verdict == "inconsistent" and not check.mistakes:
            yield "  no usual mistake explains it; see docs/check.md"
        for mistake in check.partial:
            yield f"  better, but still bad without this: {MISTAKES[mistake.suspect].description}"
            yield "    then:  " + "; ".join(_figure_lines(mistake.after))


def _figure_lines(f: Figures) -> Iterator[str]:
    if f.epipolar_px is not None:
        moved = "" if f.transfer_px is None else f", moved by depth {f.transfer_px:.2f} px"
        yield f"features: epipolar {f.epipolar_px:.2f} px{moved} (diagonal {f.diagonal_px:.0f})"
    if f.tracks_px is not None:
        yield f"tracks: epipolar {f.tracks_px:.2f} px"
    if f.depth_within is not None:
        shares = " / ".join(f"{100 * share:.0f}" for share in f.depth_within)
        cycle = "" if f.cycle_px is None else f", cycle {f.cycle_px:.2f} px"
        yield f"depth: {shares} % agree within 1 / 2 / 5 / 10 %{cycle}"
    if f.colour is not None:
        yield (
            f"colour: differs by {f.colour:.1f} matched, {f.colour_in_place:.1f} in place, "
            f"correlation {f.correlation:.2f}"
        )
