"""Folders that long commands write to: one writer, whole files, and marks of what went in."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cameo_data.io import work_folder
from cameo_data.types import Camera, DepthCodec, DepthRef, Frame


def test_one_writer_at_a_time_and_nobody_elses_files(tmp_path):
    root = tmp_path / "out"
    given = root, root / ".work", root / "index.json"
    refused = pytest.raises(ValueError, match="another run is writing")
    with work_folder.locked(*given), refused, work_folder.locked(*given):
        pass
    with work_folder.locked(*given):
        work_folder.write_json(root / ".work" / "a" / "b.json", {"x": [1]})
    assert work_folder.read_json(root / ".work" / "a" / "b.json") == {"x": [1]}
    assert work_folder.read_json(root / "nothing.json") is None
    (root / "cut.json").write_text('{"x": [1')
    assert work_folder.read_json(root / "cut.json") is None
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    for other in ("photos", "photos/one.jpg"):
        path = tmp_path / other
        expected = "is a file" if path.is_file() else "holds other files"
        refused = work_folder.locked(path, path / ".work", path / "index.json")
        with pytest.raises(ValueError, match=expected), refused:
            pass


RUN_AND_ITS_WORKER = """
import os, signal, sys
from pathlib import Path
from cameo_data.io import work_folder
root = Path(sys.argv[1])
with work_folder.exclusive(root, root / "lock"):
    worker = os.fork()
    if worker == 0:
        signal.pause()
    print(worker, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_folder_stays_locked_while_workers_of_a_killed_run_are_left(tmp_path):
    program = [sys.executable, "-c", RUN_AND_ITS_WORKER, str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        run.wait()
        try:
            refused = pytest.raises(ValueError, match="another run is writing")
            with refused, work_folder.exclusive(tmp_path, tmp_path / "lock"):
                pass
        finally:
            os.kill(worker, signal.SIGKILL)
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the worker's end
    with work_folder.exclusive(tmp_path, tmp_path / "lock"):
        pass


@pytest.mark.parametrize("name", ["image.png", "mask.png", "depth.png", "depth-mask.png"])
def test_a_mark_changes_with_every_file_of_a_frame(tmp_path, name):
    for file in ("image.png", "mask.png", "depth.png", "depth-mask.png"):
        (tmp_path / file).write_bytes(b"1")
    depth = DepthRef(
        tmp_path / "depth.png", DepthCodec.UINT16, 1.0, mask_path=tmp_path / "depth-mask.png"
    )
    frame = Frame("0", Camera(np.eye(3), (4, 4), np.eye(4)), tmp_path / "image.png", depth)
    frame = replace(frame, mask_path=tmp_path / "mask.png")
    before = work_folder.mark_of_frames([frame])
    assert work_folder.mark_of_frames([frame]) == before
    assert work_folder.mark_of_frames([replace(frame, frame_id="1")]) != before
    path = Path(tmp_path / name)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert work_folder.mark_of_frames([frame]) != before
