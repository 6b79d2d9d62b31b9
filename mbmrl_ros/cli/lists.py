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
from typing import TYPE_CHECKING

from mbmrl_ros.config import UserError, share_directory

if TYPE_CHECKING:
    from mbmrl_ros.bundles.files import BundleHead
    from mbmrl_ros.spec.robot import RobotSpec


def list_command(options: argparse.Namespace) -> None:
    """Print what there is, a line each."""
    # Of a file of one's own, first what is in it.
    own = _own(options.what, getattr(options, 'robot', None))
    for line in [*own, *LISTS[options.what]()]:
        print(line)


def names(what: str) -> list[str]:
    """Return the names of a list."""
    from mbmrl_ros.bundles.files import bundle_names  # the records of robots take their time

    return bundle_names() if what == 'bundles' else list(_entries(what))


def _own(what: str, robot: str | None) -> list[str]:
    if not robot:
        return []
    from mbmrl_ros.spec.robot import load_robot

    spec = load_robot(robot)
    if what == 'robots':
        return [f'{robot}: {spec.name}: {about(spec)}']
    from mbmrl_ros.envs.own_tasks import own_tasks  # torch: only here a task is built

    tasks = own_tasks(spec, robot)
    return [f'{task.name}: {task.description} ({robot})' for task in tasks.values()]


def about(spec: RobotSpec) -> str:
    """Return what a list says of a robot."""
    return (
        f'{spec.description} {1 / spec.period_s:g} Hz, state {spec.state_size}, '
        f'action {spec.action_size}'
    )


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
    from mbmrl_ros.bundles.files import bundle_names, find_bundle, read_head

    heads = {name: read_head(find_bundle(name)) for name in bundle_names()}
    return [
        f'{name}: {head.algorithm} for {head.task}, {KINDS[head.kind]}{_experience(head)}'
        for name, head in heads.items()
    ]


def _experience(head: BundleHead) -> str:
    """Return how much a bundle was trained on, where its file says it."""
    steps, period_s = head.metrics.get('environment_steps'), head.interface.get('period_s')
    if not steps or not isinstance(period_s, float):
        return ''
    return f', of {steps:.0f} control steps ({steps * period_s / 60:.0f} minutes)'


KINDS = {'dynamics': 'a model that plans', 'policy': 'a policy'}
LISTS: dict[str, Callable[[], list[str]]] = {
    'tasks': partial(_written, 'tasks'),
    'algorithms': partial(_written, 'algorithms'),
    'experiments': partial(_written, 'experiments'),
    'robots': partial(_written, 'robots'),
    'bundles': _bundles,
}
