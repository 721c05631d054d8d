"""The process's signal handlers, kept as they are while a library loads that installs its own.

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

# More than ``struct sigaction`` takes on any system (152 bytes with glibc on x86-64).
_STRUCT_BYTES = 512
# No process may handle these.
_NOT_HANDLED = {"SIGKILL", "SIGSTOP"}


@contextmanager
def kept_signal_handlers() -> Iterator[None]:
    """Puts every handler that changes inside back to what it was, in whichever thread this is.

    Handlers are compared and set by the system's own ``sigaction``: ``signal.getsignal`` does not
    see handlers installed by C code, and ``signal.signal`` is refused outside the main thread. So
    handlers of Python, of C code and the default all come back. This thread takes no
    SIGTERM meanwhile; one that arrives is delivered to it afterwards.
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
    """What each signal does, as the system's own record of it."""
    found = {}
    for number in signal.valid_signals():
        handler = ctypes.create_string_buffer(_STRUCT_BYTES)
        named = isinstance(number, signal.Signals)
        if named and number.name not in _NOT_HANDLED and sigaction(number, None, handler) == 0:
            found[int(number)] = handler
    return found
