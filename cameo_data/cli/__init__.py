"""``cameo-data``: the command group. A command's module is imported when it is called."""

from __future__ import annotations

import click

from cameo_data import __version__
from cameo_data.cli.group import lazy_group

# command -> one line for the group's help; its module defines ``command``
_COMMANDS = {
    "demo": "Scenes, shards, verification and a page of pictures; offline, no input needed.",
    "synth": "Procedural scenes with exact answers, as a dataset on disk.",
    "sources": "The dataset formats that can be read.",
    "inspect": "What is in a dataset's folder; nothing is written.",
    "check": "Are poses, depths and intrinsics right, and if not, which mistake is it?",
    "depth": "Depth maps for scenes that ship none, or better ones.",
    "build-corr": "Posed depth to correspondence shards.",
    "status": "How far a build is, and what to run next.",
    "verify": "Every byte of a build, and its matches computed again.",
    "stats": "Rotation, overlap and verdict shares of a build.",
    "preview": "One page of pictures of a build's matches.",
}


@lazy_group(__name__, _COMMANDS)
@click.version_option(__version__, prog_name="cameo-data")
def main(traceback: bool) -> None:
    """Exact cross-view correspondences from posed depth, packed into WebDataset shards.

    \b
    Start here:
      cameo-data demo
      cameo-data inspect auto MY_RECORDING
      cameo-data check auto MY_RECORDING
      cameo-data build-corr rgbd MY_RECORDING --out shards

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done with failures within the allowance,
    75 interrupted (run the same command again to go on).
    """
