"""One process of two that runs recipes of docs/shards.md and waits for the other at every batch.

Arguments: rank, build, file for the processes to meet at, then the first line of each block.
Prints the number of batches, which only a process whose partner took as many lives to do.
"""

import datetime
import sys
from pathlib import Path

import test_reading_recipes
import torch
import torch.distributed as dist

rank, build, meeting, *blocks = sys.argv[1:]
# how to read a build in one process stands before how to train from it in several
names = test_reading_recipes.run(Path(build), "import io", "import glob")
dist.init_process_group(
    "gloo", init_method=f"file://{meeting}", rank=int(rank), world_size=2,
    timeout=datetime.timedelta(seconds=60),
)  # fmt: skip
names = test_reading_recipes.run(Path(build), *blocks, **names)
sizes = []
for batch in names["loader"]:
    dist.all_reduce(torch.ones(1))
    sizes.append(len(batch["image"]))
print("batches:", sizes)
dist.barrier()
dist.destroy_process_group()
