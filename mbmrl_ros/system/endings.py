# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a process of the package ends: what a user gets wrong, signals, an output that is gone.

Imports nothing but what the interpreter has at hand: everything else takes time, in which a signal
may come already.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

# Ctrl-C; `kill`, `timeout` and systemd.
ASKED = (signal.SIGINT, signal.SIGTERM)
# A closed terminal: ends a process by itself where nothing is under way.
HANGUP = signal.SIGHUP


class UserError(ValueError):
    """Wrong input: one line that says what came, what is valid, what to do."""


class _Interruption:
    """The signals that end a command: 128 and its number is the exit code.

    Within `interruptible` the first one is a KeyboardInterrupt, so that what was begun is put in
    order. At any other time, and where a second one comes, the process ends at once: an exception
    in the midst of an import can be swallowed, or come out as another one.
    """

    def __init__(self) -> None:
        self.number = 0
        self.in_work = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.number or not self.in_work:
            os._exit(128 + number)
        self.number = number
        raise KeyboardInterrupt

    def handle_unraisable(self, event: sys.UnraisableHookArgs) -> None:
        """End where the exception of a signal came at a place that lets none through."""
        if self.number and issubclass(event.exc_type, KeyboardInterrupt):
            os._exit(128 + self.number)
        sys.__unraisablehook__(event)


_INTERRUPTION = _Interruption()


def begin_process() -> None:
    """Take the signals of this process, and make its output such that no text breaks it.

    A signal that is ignored (nohup, a job in the background) stays so.
    """
    for number in ASKED:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _INTERRUPTION.handle)
    sys.unraisablehook = _INTERRUPTION.handle_unraisable
    # A stream that was closed is taken by the next file that is opened, and printed into.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout, sys.stderr = _Output.of(sys.stdout, 1), _Output.of(sys.stderr, 2)
    if not sys.stderr.isatty():
        # A file has a line of each state of a bar; ten a second are of no use there.
        os.environ.setdefault('TQDM_MININTERVAL', '10')


class _Output(io.TextIOWrapper):
    """A stream that writes what its encoding has not as an escape, and remembers its fault."""

    fault: OSError | None = None

    @classmethod
    def of(cls, stream: TextIO | None, descriptor: int) -> _Output:
        """Return one in place of a stream; None: of a descriptor that was closed."""
        if isinstance(stream, cls):
            # One that nobody holds any more closes what is beneath it.
            return stream
        if stream is None:
            raw = io.FileIO(descriptor, 'w', closefd=False)
            return cls(io.BufferedWriter(raw), 'utf-8', 'backslashreplace')
        return cls(
            stream.buffer,
            stream.encoding,
            'backslashreplace',
            line_buffering=bool(stream.line_buffering),
            write_through=bool(getattr(stream, 'write_through', False)),
        )

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.fault = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.fault = error
            raise


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt: for work that has to be put in order.

    Without `begin_process`, as in a test or a notebook, only Ctrl-C does, as ever.
    """
    _INTERRUPTION.in_work = True
    begun = signal.getsignal(signal.SIGTERM) == _INTERRUPTION.handle
    caught = begun and signal.getsignal(HANGUP) == signal.SIG_DFL
    if caught:
        signal.signal(HANGUP, _INTERRUPTION.handle)
    try:
        yield
    finally:
        _INTERRUPTION.in_work = False
        if caught:
            signal.signal(HANGUP, signal.SIG_DFL)


def exit_code(run: Callable[[], int], name: str) -> int:
    """Run a command called `name`; return its exit code, and say in one line what went wrong."""
    try:
        try:
            code = run()
        finally:
            # Here and not at the end of the interpreter, which would print a traceback.
            sys.stdout.flush()
        return _lost_output(name) or code
    except SystemExit:  # of --help, or of a library that could not print
        lost = _lost_output(name)
        if not lost:
            raise
        return lost
    except UserError as error:
        return _say(name, str(error), 2)
    except (Exception, KeyboardInterrupt) as error:
        if _INTERRUPTION.number or isinstance(error, KeyboardInterrupt):
            number = _INTERRUPTION.number or signal.SIGINT
            return _say(name, 'interrupted; what was written so far is whole', 128 + number)
        if not isinstance(error, OSError):
            raise
        return _lost_output(name) or _say(name, system_reason(error), 2)


def _lost_output(name: str) -> int:
    """Return the exit code where standard output took nothing any more; 0 where it did."""
    stream = sys.stdout
    if not isinstance(stream, _Output) or stream.fault is None:
        return 0
    fault, stream.fault = stream.fault, None
    # What it still holds would be tried again at the end of the interpreter.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(fault, BrokenPipeError):
        return 128 + signal.SIGPIPE
    return _say(name, f'cannot write to the standard output: {fault.strerror}', 2)


def system_reason(error: OSError) -> str:
    """Return what the system refused, with the path that it is about."""
    place = '' if error.filename is None else f'{os.fsdecode(error.filename)}: '
    return f'{place}{error.strerror or error}'


def _say(name: str, text: str, code: int) -> int:
    try:
        print(f'{name}: {one_line(text)}', file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return code


def one_line(text: str) -> str:
    """Return text with line ends and other control characters as they are written in Python."""
    return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)
