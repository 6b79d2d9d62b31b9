# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an argument of the command line may be."""

from __future__ import annotations

import argparse
from pathlib import Path

from mbmrl_ros.system.outputs import output_file

# Of SCHED_FIFO on Linux.
HIGHEST_PRIORITY = 99


def positive(text: str) -> int:
    """Return a whole number above 0."""
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'needs a whole number of at least 1, got {text!r}')
    return value


def not_negative(text: str) -> float:
    """Return a number that is not below 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'needs a number of at least 0, got {text!r}')
    return value


def share(text: str) -> float:
    """Return a number of at least 0, below 1."""
    value = not_negative(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f'needs a number of at least 0, below 1, got {text!r}')
    return value


def whole(text: str) -> int:
    """Return a whole number that is not below 0."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f'needs a whole number of at least 0, got {text!r}')
    return value


def priority(text: str) -> int:
    """Return a real-time priority; 0: none."""
    value = whole(text)
    if value > HIGHEST_PRIORITY:
        raise argparse.ArgumentTypeError(
            f'needs a whole number of at most {HIGHEST_PRIORITY}, got {text!r}'
        )
    return value


def file_or_folder(text: str) -> Path:
    """Return a path where something can be written; what writes it knows which it needs."""
    return Path(text) if Path(text).is_dir() else output_file(text)
