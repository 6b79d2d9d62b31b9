# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE_S = 10.0


@contextmanager
def node_process(
    node: str, parameters: Mapping[str, Any], namespace: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a node; stop it at the end, by SIGINT first so that it can leave in order.

    node: its module in mbmrl_ros.nodes. log: folder for what it prints.
    """
    log.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, '-m', f'mbmrl_ros.nodes.{node}', '--ros-args']
    command += ['-r', f'__ns:=/{namespace}']
    for name, value in parameters.items():
        command += ['-p', f'{name}:={_yaml(value)}']
    environment = os.environ | {'PYTHONUNBUFFERED': '1'}
    with (log / f'{node}.log').open('wb') as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def last_words(log: Path) -> str:
    """Return the last lines that the nodes printed, for an error message."""
    lines = []
    for path in sorted(log.glob('*.log')):
        text = path.read_text(errors='replace').strip().splitlines()
        lines += [f'{path.stem}: {line}' for line in text[-2:]]
    return ' | '.join(lines) or 'the nodes said nothing'


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return '[' + ', '.join(f"'{item}'" for item in value) + ']'
    return str(value)
