"""Tasks in a pool: all results, the first error, dead workers, single threads."""

import os
import signal
import subprocess
import sys

import cv2
import pytest

from cameo_data.executors import local


def _square(number):
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


def test_local_results_come_from_all_items():
    for workers in (1, 2):
        assert sorted(local.run(_square, range(9), workers=workers)) == [
            (i, i * i) for i in range(9)
        ]


def test_the_first_error_ends_a_run():
    with pytest.raises(ValueError, match="-1 is negative"):
        list(local.run(_square, [1, -1, 2], workers=2))


def test_a_killed_worker_is_reported():
    with pytest.raises(ValueError, match=r"a worker process was killed.*fewer --workers"):
        list(local.run(_kill_self, [1, 2], workers=2))
    with pytest.raises(ValueError, match=r"killed while at scene 1 or scene 2, most likely"):
        list(local.run(_kill_self, [1, 2, 3], workers=2, described=lambda n: f"scene {n}"))


def _kill_self(_number):
    os.kill(os.getpid(), signal.SIGKILL)


UNGUARDED = """
from pathlib import Path
from cameo_data.build import build
from cameo_data.recipe import Recipe
recipe = Recipe.model_validate(
    {"source": {"name": "synthetic", "root": "SCENES"}, "groups_per_scene": 1, "strides": [16]}
)
build(recipe, Path("OUT"), workers=2)
"""


def test_a_script_without_a_guard_is_told_so(tiny_scenes, tmp_path):
    script = tmp_path / "script.py"
    text = UNGUARDED.replace("SCENES", str(tiny_scenes)).replace("OUT", str(tmp_path / "out"))
    script.write_text(text, "utf-8")
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 1
    assert "called while a worker process was starting" in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: a worker process ended by itself; the reason is above.")
    assert "if __name__ == '__main__':" in last
    assert "memory" not in ended.stderr


def test_nothing_to_run():
    assert list(local.run(_square, [], workers=4)) == []


def test_threads_are_limited_and_put_back():
    before = cv2.getNumThreads()
    assert [n for _, n in local.run(_opencv_threads, [0], workers=1)] == [1]
    assert cv2.getNumThreads() == before


def _opencv_threads(_item):
    return cv2.getNumThreads()
