"""Keeps the process's signal handlers while a library that installs its own is loaded.

COLMAP's logging library takes SIGTERM, SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL when it loads,
prints a C++ stack on each and ends the process. SIGTERM is how schedulers stop a job: commands
answer it by stopping in an orderly way (exit code 75).
"""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import Array, c_char

# More than the size of ``struct sigaction`` on any system (152 bytes with glibc on x86-64).
_STRUCT_BYTES = 512
# No process can handle these.
_NOT_HANDLED = {"SIGKILL", "SIGSTOP"}


@contextmanager
def kept_signal_handlers() -> Iterator[None]:
    """Restores every signal handler that changes inside the block, in any thread.

    Handlers are compared and set by the system's own ``sigaction``: ``signal.getsignal`` does not
    see handlers installed by C code, and ``signal.signal`` works only in the main thread. So
    handlers from Python, from C code and the default are all restored. SIGTERM is blocked in this
    thread meanwhile; one that arrives is delivered afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows has no sigaction either
        yield
        return
    sigaction = ctypes.CDLL(None, use_errno=True).sigaction
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        before = _handlers(sigaction)
        try:
            yield
        finally:
            for number, handler in before.items():
                sigaction(number, handler, None)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _handlers(sigaction: ctypes._NamedFuncPointer) -> dict[int, Array[c_char]]:
    """Each signal's handler, as the system's own record."""
    found = {}
    for number in signal.valid_signals():
        handler = ctypes.create_string_buffer(_STRUCT_BYTES)
        named = isinstance(number, signal.Signals)
        if named and number.name not in _NOT_HANDLED and sigaction(number, None, handler) == 0:
            found[int(number)] = handler
    return found
