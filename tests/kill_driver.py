"""Kills a build with SIGKILL at its n-th flush to disk, n = 1, 2, …, until one run ends by itself.

Prints how many runs were killed. Run in a process of its own: it forks.
"""

import os
import signal
import sys
from pathlib import Path

from cameo_data import recipe as recipes
from cameo_data.build import build
from cameo_data.io import yaml_files

MOST = 200


def run_and_die(recipe: recipes.Recipe, out: Path, at: int) -> None:
    """Builds in this process, which ends at the ``at``-th flush."""
    flush, count = os.fsync, 0

    def deadly(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        flush(descriptor)

    os.fsync = deadly
    build(recipe, out)


def main() -> None:
    recipe = recipes.make(yaml_files.load(Path(sys.argv[1])))
    out = Path(sys.argv[2])
    for at in range(1, MOST):
        child = os.fork()
        if child == 0:
            try:
                run_and_die(recipe, out, at)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(at - 1)
            sys.exit(os.WEXITSTATUS(status))
    sys.exit(f"not finished after {MOST} runs")


if __name__ == "__main__":
    main()
