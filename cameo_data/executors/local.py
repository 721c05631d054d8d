"""Runs tasks in this process or in a pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Libraries read these when they load. With one worker per core, threads in a worker only compete.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


_GUARD = (
    "A script that starts workers must make its calls under `if __name__ == '__main__':`, because "
    "every worker imports the script first"
)


def default_workers() -> int:
    """The number of processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    described: Callable[[Item], str] | None = None,
) -> Generator[tuple[int, Result]]:
    """(index, result) of every item, as they finish.

    ``function`` must be importable by name, and items and results must be picklable. The first
    error is raised and cancels what has not begun; leaving the iterator early stops the workers.

    Args:
        described: gives an item in a few words, to say what a killed worker was working on.

    Raises:
        ValueError: a worker was killed from outside, or could not start.
    """
    refuse_unguarded_script()
    workers = min(workers, len(items))
    if workers <= 1:
        with _single_threaded():
            yield from ((index, function(item)) for index, item in enumerate(items))
        return
    # spawn, because a fork would copy threads' locks in whatever state they are
    with _single_threaded_environment():
        pool = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
        )
        pending: dict[Future[Result], int] = {}
        processes: list[BaseProcess] = []
        try:
            yield from _results(pool, function, items, workers, pending, processes)
        except BrokenProcessPool:
            pool.shutdown(wait=True)  # a worker's exit code is known once it is joined
            if any((process.exitcode or 0) > 0 for process in processes):
                raise ValueError(
                    "a worker process ended by itself; the reason is above. " + _GUARD
                ) from None
            # in submission order, so the first items are being worked on
            at_work = [items[index] for index in sorted(pending.values())[:workers]]
            what = " or ".join(described(item) for item in at_work) if described else ""
            raise ValueError(
                f"a worker process was killed{what and f' while at {what}'}, most likely for lack "
                "of memory; run again with fewer --workers to continue from here"
            ) from None
        except BaseException:
            _kill(pool)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def refuse_unguarded_script() -> None:
    """Refuse to run in a worker; call this before the first write of a job that may start workers.

    Raises:
        ValueError: this process is a worker that is only importing the script which started it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ValueError(f"called while a worker process was starting. {_GUARD}")


def _results(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    pending: dict[Future[Result], int],
    processes: list[BaseProcess],
) -> Generator[tuple[int, Result]]:
    """Submit tasks with two items per worker in the queue, to avoid a million futures.

    ``processes`` receives the workers, since a broken pool forgets them.
    """
    todo = iter(enumerate(items))
    while True:
        while len(pending) < 2 * workers and (entry := next(todo, None)) is not None:
            pending[pool.submit(function, entry[1])] = entry[0]
            # at every step: a worker that dies early breaks the pool before all tasks are in
            processes[:] = (pool._processes or {}).values() or processes
        if not pending:
            return
        done, _ = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            result = future.result()
            yield pending.pop(future), result


def _kill(pool: ProcessPoolExecutor) -> None:
    """End the workers at once; half-written results are never taken for finished."""
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _start_worker() -> None:
    # Ctrl-C reaches the whole group; only the parent acts on it, by ending the workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_threads(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this worker when its parent is killed, since a killed parent cannot end its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _limit_threads(count: int) -> int:
    """Set OpenCV's number of threads and return the old number."""
    import cv2

    before = int(cv2.getNumThreads())
    cv2.setNumThreads(count)
    return before


@contextmanager
def _single_threaded() -> Iterator[None]:
    before = _limit_threads(1)
    try:
        yield
    finally:
        _limit_threads(before)


@contextmanager
def _single_threaded_environment() -> Iterator[None]:
    """Set variables that spawned processes inherit, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
