# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an argument of the command line may be."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mbmrl_ros.system.outputs import output_file

# Of SCHED_FIFO on Linux.
HIGHEST_PRIORITY = 99
# More than any machine has; torch takes no number of any size.
MOST_THREADS = 1024
# Of 32 bits, for the generators of all libraries.
LARGEST_SEED = 2**32 - 1
# Where OMP_NUM_THREADS is not set.
USUAL_THREADS = 2


Number = TypeVar('Number', int, float)


def _checked(
    text: str, read: Callable[[str], Number], fits: Callable[[Number], bool], rule: str
) -> Number:
    """Return a number that fits; what does not, or is none, is told the whole rule."""
    try:
        value = read(text)
    except ValueError:
        fitting = False
    else:
        fitting = fits(value)
    if not fitting:
        raise argparse.ArgumentTypeError(f'needs {rule}, got {text!r}')
    return value


def positive(text: str) -> int:
    """Return a whole number above 0."""
    return _checked(text, int, lambda value: value >= 1, 'a whole number of at least 1')


def not_negative(text: str) -> float:
    """Return a finite number that is not below 0."""
    return _checked(text, float, lambda value: 0 <= value < math.inf, 'a number of at least 0')


def share(text: str) -> float:
    """Return a number of at least 0, below 1."""
    return _checked(text, float, lambda value: 0 <= value < 1, 'a number of at least 0, below 1')


def seed(text: str) -> int:
    """Return a seed that every generator of random numbers takes."""
    rule = f'a whole number of 0 to {LARGEST_SEED}'
    return _checked(text, int, lambda value: 0 <= value <= LARGEST_SEED, rule)


def priority(text: str) -> int:
    """Return a real-time priority; 0: none."""
    rule = f'a whole number of 0 (none) to {HIGHEST_PRIORITY}'
    return _checked(text, int, lambda value: 0 <= value <= HIGHEST_PRIORITY, rule)


class Usual(int):
    """A number that nobody asked for."""


def threads(text: str) -> int:
    """Return how many threads compute; of an empty text what OMP_NUM_THREADS says, else 2."""
    rule = f'a whole number of 1 to {MOST_THREADS}'
    if text:
        return _checked(text, int, lambda value: 1 <= value <= MOST_THREADS, rule)
    # It may be a list, of which the first is of the outermost level.
    first = os.environ.get('OMP_NUM_THREADS', '').partition(',')[0].strip()
    known = min(int(first), MOST_THREADS) if first.isdecimal() and int(first) else USUAL_THREADS
    return Usual(known)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the option of how many threads compute."""
    parser.add_argument(
        '--threads',
        type=threads,
        # argparse reads a default that is a text as if it were given: when it is asked for.
        default='',
        help=f'of the processor; default: OMP_NUM_THREADS, or {USUAL_THREADS} where it is not set',
    )


def named_path(text: str) -> Path:
    """Return a path; an empty one would be the folder that the command is started in."""
    if not text:
        raise argparse.ArgumentTypeError('needs a path, got nothing (. is this folder)')
    return Path(text)


def namespace(text: str) -> str:
    """Return a namespace of nodes; empty: the root."""
    if not re.fullmatch(r'/?([A-Za-z_]\w*(/[A-Za-z_]\w*)*/?)?', text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f'needs letters, digits and _, none beginning with a digit, joined by /, got {text!r}'
        )
    return text


def listed(text: str) -> list[str]:
    """Return what stands between commas, each once."""
    parts = [part.strip() for part in text.split(',')]
    return list(dict.fromkeys(part for part in parts if part)) or ['']


def file_or_folder(text: str) -> Path:
    """Return a path where something can be written; what writes it knows which it needs."""
    return Path(text) if text and Path(text).is_dir() else output_file(text)
