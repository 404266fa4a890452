"""The kernel's own deadline for this process: SIGKILL at a moment, unless the moment is put off before.

A thread that looks at the clock comes too late where the process was stopped, or where another thread does not let it
run: then the process would go on with what is no longer its. The kernel kills it before its next instruction. Nothing
is inherited by a child. Only Linux is asked for it; elsewhere, and where it is refused, the thread has to do.
"""

from __future__ import annotations

import ctypes
import logging
import signal
import sys
import time

log = logging.getLogger(__name__)

_LINUX = sys.platform == "linux"
_SIGNAL, _ABSOLUTE = 0, 1  # SIGEV_SIGNAL, TIMER_ABSTIME


def now() -> float:
    """Seconds by a clock that nobody sets, and that also runs while the system is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if _LINUX else time.monotonic()


class _Event(ctypes.Structure):
    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),
    ]


class _Spec(ctypes.Structure):
    _fields_ = [
        ("interval", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("at", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    ]


class Deadline:
    """One timer of this process; a child makes its own."""

    def __init__(self) -> None:
        self._libc, self._timer = ctypes.CDLL(None, use_errno=True) if _LINUX else None, ctypes.c_void_p()
        if self._libc is None:
            return
        event = _Event(None, signal.SIGKILL, _SIGNAL, b"")
        made = getattr(self._libc, "timer_create", lambda *_: -1)
        if made(time.CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._timer)):
            log.warning("the kernel gives no timer (error %d): a thread alone watches leases", ctypes.get_errno())
            self._libc = None

    def set(self, moment: float | None) -> None:
        """Die at `moment`, by `now`; None: do not."""
        if self._libc is None:
            return
        at = max(moment, 1e-9) if moment is not None else 0.0  # a timer of 0 is none
        spec = _Spec(0, 0, int(at), int(at % 1 * 1e9))
        self._libc.timer_settime(self._timer, _ABSOLUTE, ctypes.byref(spec), None)
