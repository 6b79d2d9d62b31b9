# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which signals end a process, and can be caught so that the robot is made safe before.

A closed terminal and a lost ssh send SIGHUP, the limit on real-time scheduling SIGXCPU, and any
signal that nobody handles ends a process without another line of its code.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

# Those that ask a program to stop, which is then no failure. They are caught even where they were
# ignored: a shell that starts a program in the background has it ignore Ctrl-C.
ASKED = (signal.SIGINT, signal.SIGTERM)
_UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
# They end nothing.
_HARMLESS = {
    signal.SIGCHLD, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG,
    signal.SIGWINCH,
}  # fmt: skip
# The instruction that caused one is run again when its handler returns, and causes it again; what
# is left then is the time-out of whoever receives the commands.
_CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}


def ending_signals() -> list[int]:
    """Return the signals that would end this process as it is, SIGINT and SIGTERM always.

    Not those that are ignored (SIGHUP under nohup, SIGPIPE in Python) or handled already.
    """
    left = {*_UNCATCHABLE, *_HARMLESS, *_CRASHES, *ASKED}
    if faulthandler.is_enabled():
        left.add(signal.SIGABRT)  # says where the threads are, for whoever sends it
    others = (number for number in signal.valid_signals() if number not in left)
    return [*ASKED, *(n for n in others if signal.getsignal(n) == signal.SIG_DFL)]


def catch(handler: Handler) -> list[int]:
    """Call a handler for every signal that ends the process; return which ones that are."""
    numbers = ending_signals()
    for number in numbers:
        signal.signal(number, handler)
    return numbers


def ignore(numbers: list[int]) -> None:
    """Let signals do nothing any more."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def exit_code(number: int) -> int:
    """Return what a process ends with that a signal has ended in order.

    0 where it was asked to stop, otherwise 128 + the number, as shells say it.
    """
    return 0 if number in ASKED else 128 + number
