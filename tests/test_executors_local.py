"""Tasks in a pool: all results, the first error, dead workers, single threads."""

import os
import signal

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


def test_nothing_to_run():
    assert list(local.run(_square, [], workers=4)) == []


def test_threads_are_limited_and_put_back():
    before = cv2.getNumThreads()
    assert [n for _, n in local.run(_opencv_threads, [0], workers=1)] == [1]
    assert cv2.getNumThreads() == before


def _opencv_threads(_item):
    return cv2.getNumThreads()
