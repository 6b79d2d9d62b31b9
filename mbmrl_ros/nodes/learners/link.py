# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker's end: a process of its own that computes, with what its node has for it.

A node must answer within milliseconds and end within two seconds; what is computed takes as long
as it takes. So a node has a worker (worker.py), which ends with it: the operating system closes
the connection when the node ends, however that ends.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from mbmrl_ros.system.endings import UserError, begin_process, exit_code, interruptible

PAUSE, RESUME, STOP, SAVE = 'pause', 'resume', 'stop', 'save'
"""What a node asks its worker for; any other name is that of a value."""
FAILED = 'failed'


class Stopped(Exception):  # noqa: N818
    """The work was left between two steps, because the node asked for it."""


class Link:
    """What the node has sent: the newest value of each name, and what it asks for.

    Threads: what begins with an underscore is of the one that listens.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        """Listen from now on; the process ends with the connection."""
        self._connection = connection
        self._changed = threading.Condition()
        self._values: dict[str, Any] = {}
        self._paused = self._stopped = False
        self.save_wanted = False
        threading.Thread(target=self._listen, name='node', daemon=True).start()

    def say(self, name: str, value: Any) -> None:
        """Send something to the node."""
        self._connection.send((name, value))

    def take(self) -> dict[str, Any]:
        """Return the newest value of every name that has got one since."""
        with self._changed:
            values, self._values = self._values, {}
        return values

    def check(self) -> None:
        """Between two steps: wait while the work is paused; Stopped where it is to end."""
        with self._changed:
            if self._paused and not self._stopped:
                self.say('state', 'paused')
                self._changed.wait_for(lambda: self._stopped or not self._paused)
                self.say('state', 'working')
            if self._stopped:
                raise Stopped

    def wait(self) -> None:
        """Wait until there is a value, or something is asked for."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._values or self._paused or self._stopped or self.save_wanted
            )

    def _listen(self) -> None:
        try:
            while True:
                name, value = self._connection.recv()
                with self._changed:
                    self._accept(name, value)
                    self._changed.notify_all()
        except (EOFError, OSError):
            # Nobody is there any more; files are whole at any moment (system/outputs.py).
            os.kill(os.getpid(), signal.SIGKILL)

    def _accept(self, name: str, value: Any) -> None:
        if name in (PAUSE, RESUME):
            self._paused = name == PAUSE
        elif name == STOP:
            self._stopped = True
        elif name == SAVE:
            self.save_wanted = True
        else:
            self._values[name] = value


def main(arguments: list[str]) -> int:
    """Do the work `module:function` of a node, by the descriptor of a connection to it."""
    target, descriptor = arguments
    begin_process()
    return exit_code(lambda: _work(target, Connection(int(descriptor))), 'worker')


def _work(target: str, connection: Connection[Any, Any]) -> int:
    module, _, function = target.partition(':')
    request = connection.recv()
    link = Link(connection)
    try:
        with interruptible():
            getattr(importlib.import_module(module), function)(link, request)
    except Stopped:
        link.say('state', 'stopped')
    except KeyboardInterrupt:
        return 0  # the node has ended it
    except UserError as error:
        link.say(FAILED, str(error))
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
