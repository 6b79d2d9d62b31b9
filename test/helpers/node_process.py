# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes in processes of their own, forked from one that has imported what they import.

What a node imports takes seconds of a core; a test that starts one is about something else.
"""

import faulthandler
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

CONTEXT = multiprocessing.get_context('forkserver')


def preload(modules: list[str]) -> None:
    """Say what the process imports from which others are forked; before the first of them."""
    CONTEXT.set_forkserver_preload(modules)


class NodeProcess:
    """A running module, with what tests use of subprocess.Popen."""

    def __init__(self, module: str, arguments: list[str], log: Path) -> None:
        """log: file for what it prints."""
        self._process = CONTEXT.Process(
            target=_run, args=(module, arguments, str(log), dict(os.environ)), daemon=True
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        self._process.join(0)
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        self._process.join(timeout_s)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout_s)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(module: str, arguments: list[str], log: str, environment: dict[str, str]) -> None:
    """Be as a fresh interpreter that runs the main function of a module."""
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGINT, signal.SIGTERM):
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)
    sys.argv = [module, *arguments]
    sys.exit(importlib.import_module(module).main())
