"""Recipe -> survey -> plan -> tasks -> index: a build that may be killed and run again.

* *survey*: every candidate frame is read once; failures and overlaps are kept per scene.
* *plan*: groups and shards, a pure function of recipe and surveys.
* *task*: one shard; run twice, it makes the same bytes. Processes, a Slurm array or Ray are only
  ways to call ``run_task``.
* *finish*: the companions, and ``index.json`` last.
"""

from cameo_data.build.result import BuildResult
from cameo_data.build.status import BuildStatus, build_status
from cameo_data.build.task import run_task
from cameo_data.build.whole_build import build, dry_run, finish
from cameo_data.errors import TooManyFailures

__all__ = [
    "BuildResult",
    "BuildStatus",
    "TooManyFailures",
    "build",
    "build_status",
    "dry_run",
    "finish",
    "run_task",
]
