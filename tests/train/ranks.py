"""One process of several: runs ``cameo-train`` with the preset ``small``, once for each line of a
file of JSON lists, one after the other, each in a process group of its own.

A line begins with a free port, then perhaps ``{"stop_at": 2, "rank": 1}``: that
rank gets SIGTERM in that micro-step.
Exit code and output of each go to standard output.
"""

import json
import os
import signal
import sys
from pathlib import Path

import runs
import torch
from click.testing import CliRunner

from cameo_train import models
from cameo_train.cli import main
from cameo_train.training import loop, sampling

torch.set_num_threads(1)
models.presets()["small"] = runs.SMALL
sampling.sample.__kwdefaults__["steps"] = 3  # each gathers all blocks: fifty take half a minute
draw = loop.draw
rank = int(os.environ["RANK"])


def interrupted(stop):
    """``loop.draw`` that sends the signal."""

    def drawn(config, shape, steps, step, *rest):
        if step == stop["stop_at"] - 1 and rank == stop["rank"]:
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(config, shape, steps, step, *rest)

    return drawn


for line in Path(sys.argv[1]).read_text().splitlines():
    port, *arguments = json.loads(line)
    os.environ["MASTER_PORT"] = port
    loop.draw = interrupted(arguments.pop(0)) if isinstance(arguments[0], dict) else draw
    done = CliRunner().invoke(main, ["fit", *map(str, arguments)])
    print(json.dumps({"code": done.exit_code, "output": done.output[-2000:]}), flush=True)
