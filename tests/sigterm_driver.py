"""Runs a command of ``cameo-data`` and sends it SIGTERM just after COLMAP's library was loaded.

Run in a process of its own: where the signal is not answered by the command, it ends the process.
"""

import os
import signal
import sys

from cameo_data.cli import main
from cameo_data.geometry import undistortion

load = undistortion.colmap


def loaded_and_stopped():
    library = load()
    assert "pycolmap" in sys.modules
    os.kill(os.getpid(), signal.SIGTERM)
    return library


if __name__ == "__main__":
    undistortion.colmap = loaded_and_stopped
    main(sys.argv[1:])
