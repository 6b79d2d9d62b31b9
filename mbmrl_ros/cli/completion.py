# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which names the shell completes: eval "$(register-python-argcomplete mbmrl)"."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial

from mbmrl_ros.cli.lists import names

# Which list an option takes a name of.
_TAKES = {
    'task': 'tasks',
    'tasks': 'tasks',
    'robot': 'robots',
    'robots': 'robots',
    'algorithm': 'algorithms',
    'bundle': 'bundles',
    'run_folder': 'bundles',
    'names': 'experiments',
}


def add_names(parser: argparse.ArgumentParser) -> None:
    """Let the options of all commands be completed by what there is; files where it is a path."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                add_names(command)
        elif action.dest in _TAKES:
            action.completer = partial(_named, _TAKES[action.dest])  # type: ignore[attr-defined]


def _named(what: str, **asked: object) -> Iterable[str]:
    """Return the names of a list; argcomplete keeps those that begin as what was typed."""
    return names(what)
