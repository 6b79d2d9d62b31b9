# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes of their own, which end with the process that started them.

The standard input of a node is a pipe that only its parent can write to. The operating system
closes it when the parent ends, however that ends (SIGKILL included), and the node stops.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.nodes.common.signals import ending_signals
from mbmrl_ros.system import machine

PATIENCE_S = 10.0


class Ending:
    """What asked this process to end: the number of a signal, 0 for none."""

    def __init__(self) -> None:
        self.number = 0

    def note(self, number: int, frame: Any) -> None:
        """Handle a signal; a second one is not waited for."""
        again, self.number = self.number, number
        if again:
            self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt after Ctrl-C, SystemExit after any other signal."""
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.number:
            raise SystemExit(128 + self.number)


@contextmanager
def ending_in_order() -> Iterator[Ending]:
    """Note signals that end the process; a loop within asks for them by `check` at every turn.

    An exception raised wherever a signal comes can be lost in a destructor, leave a lock held, or
    cut a message that is being written. A signal that is ignored or handled already (nohup, a
    command of the package) is left alone. In another thread than the main one, which is the only
    one that gets signals, nothing changes.
    """
    ending = Ending()
    here = threading.current_thread() is threading.main_thread()
    before = {n: signal.getsignal(n) for n in ending_signals() if here}
    ends = (signal.SIG_DFL, signal.default_int_handler)
    caught = {number: handler for number, handler in before.items() if handler in ends}
    for number in caught:
        signal.signal(number, ending.note)
    try:
        yield ending
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
    ending.check()


@contextmanager
def node_process(
    node: str,
    parameters: Mapping[str, Any],
    namespace: str,
    log: Path,
    remap: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a node; stop it at the end, by SIGINT first so that it can leave in order.

    node: the name of its executable. log: folder for what it prints. remap: topics to other
    names.
    """
    log.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, '-m', 'mbmrl_ros.nodes.episode.processes', node, '--ros-args']
    for name, other in {'__ns': f'/{namespace}', **(remap or {})}.items():
        command += ['-r', f'{name}:={other}']
    for name, value in parameters.items():
        command += ['-p', f'{name}:={_yaml(value)}']
    environment = os.environ | {'PYTHONUNBUFFERED': '1'}
    with (log / f'{node}.log').open('wb') as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            end_process(process)


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Stop a node, by SIGINT first; one that does not stop is killed."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S * machine.slowness())
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()


def last_words(log: Path) -> str:
    """Return the last lines that the nodes printed, for an error message."""
    lines = []
    for path in sorted(log.glob('*.log')):
        text = path.read_text(errors='replace').strip().splitlines()
        lines += [f'{path.stem}: {line}' for line in text[-2:]]
    return ' | '.join(lines) or 'the nodes said nothing'


def main(arguments: list[str]) -> int:
    """Run a node until it is stopped or its parent is gone; the first argument is its name."""
    threading.Thread(target=_follow_parent, name='parent', daemon=True).start()
    module = importlib.import_module(EXECUTABLES[arguments[0]])
    return int(module.main(arguments[1:]))


def _follow_parent() -> None:
    # Not by sys.stdin: the interpreter cannot end while a thread waits in its buffer.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _yaml(value: Any) -> str:
    # JSON is YAML, whatever stands in a name.
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
