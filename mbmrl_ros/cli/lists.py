# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What there is, a line each, without the seconds that torch and MuJoCo take to import.

Bundles are read from their own files. Algorithms, tasks and experiments stand in code, and the
YAML of all robots takes half a second: these are in config/lists.json, which
benchmarks/reference.py writes from the code, and a test compares the two.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial

from mbmrl_ros.bundles.files import bundle_names, find_bundle, read_head
from mbmrl_ros.config import UserError, share_directory


def list_command(options: argparse.Namespace) -> None:
    """Print what there is, a line each."""
    for line in LISTS[options.what]():
        print(line)


def _entries(what: str) -> dict[str, str]:
    """Return names with their descriptions; UserError if the installation has none."""
    path = share_directory() / 'config' / 'lists.json'
    try:
        entries: dict[str, str] = json.loads(path.read_text())[what]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f'{path} is missing or damaged; install the package again') from error
    return entries


def _written(what: str) -> list[str]:
    return [f'{name}: {description}' for name, description in _entries(what).items()]


def _bundles() -> list[str]:
    heads = {name: read_head(find_bundle(name)) for name in bundle_names()}
    return [
        f'{name}: {head.algorithm} for {head.task}, {KINDS[head.kind]}'
        for name, head in heads.items()
    ]


KINDS = {'dynamics': 'a model that plans', 'policy': 'a policy'}
LISTS: dict[str, Callable[[], list[str]]] = {
    'tasks': partial(_written, 'tasks'),
    'algorithms': partial(_written, 'algorithms'),
    'experiments': partial(_written, 'experiments'),
    'robots': partial(_written, 'robots'),
    'bundles': _bundles,
}
