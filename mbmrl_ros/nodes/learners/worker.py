# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's end of a process that computes for it (link.py)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from mbmrl_ros.nodes.learners.link import FAILED

# For what is under way to be put in order; files are whole without it.
PATIENCE_S = 0.8


class Worker:
    """A running worker.

    problem: why it ended before its work was done; empty while it runs, and where it was done.
    """

    def __init__(self, target: str, request: Any, on_value: Callable[[str, Any], None]) -> None:
        """target: module:function, which gets a Link and the request.

        on_value: gets what it says, by name, in a thread of its own.
        """
        self.problem = ''
        self._on_value = on_value
        mine, theirs = socket.socketpair()
        with theirs:
            descriptor = theirs.fileno()
            module = 'mbmrl_ros.nodes.learners.link'
            # A session of its own: Ctrl-C is for the node, which then ends its worker.
            self._process = subprocess.Popen(
                [sys.executable, '-m', module, target, str(descriptor)],
                stdin=subprocess.DEVNULL,
                pass_fds=[descriptor],
                start_new_session=True,
                # Nobody watches the bars of a fit.
                env=os.environ | {'PYTHONUNBUFFERED': '1', 'TQDM_DISABLE': '1'},
            )
        self._connection: Connection[Any, Any] = Connection(mine.detach())
        self._sending = threading.Lock()
        self.send_request(request)
        self._listener = threading.Thread(target=self._listen, name='worker', daemon=True)
        self._listener.start()

    @property
    def running(self) -> bool:
        """Whether it is still at work, or has something to say."""
        return self._listener.is_alive()

    def send_request(self, request: Any) -> None:
        """Send what the work is."""
        with self._sending, suppress(OSError):
            self._connection.send(request)

    def send(self, name: str, value: Any = None) -> None:
        """Send a value, or ask for something; to one that has ended, nothing happens."""
        self.send_request((name, value))

    def end(self) -> None:
        """End it, whatever it is at."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE_S)
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._connection.close()

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                name, value = self._connection.recv()
                if name == FAILED:
                    self.problem = value
                self._on_value(name, value)
        code = self._process.wait()
        if code and not self.problem:
            self.problem = f'its worker ended with exit code {code}; see what it printed'
