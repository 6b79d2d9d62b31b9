# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an algorithm is to the command line: a name, its settings, how it trains and drives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mbmrl_ros.config import Config
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.training.recipes import load_recipe

OWN_ROBOTS = 'own_robot'
"""Whose recipes a robot has that comes as a file, where nothing else is said."""


@dataclass(frozen=True)
class Algorithm:
    """An algorithm of the registry (algorithms/__init__.py).

    train(task, config, run, seed) -> bundle: trains, or goes on with what the run folder holds.
    config: a record of Config. load_task(name, robot): finds a task of its kind. recipes: whose
    recipes those of a task without a file are (training/recipes.py).
    """

    name: str
    summary: str
    Config: type[Config]
    train: Callable[..., Any]
    load_task: Callable[[str, str], Any] = load_task
    recipes: str = ''

    def settings(self, task: Any, name: str | None, assignments: tuple[str, ...]) -> Any:
        """Return the record of a recipe of a task, with `key=value` overrides; UserError."""
        own = str(task.robot).endswith(('.yaml', '.yml'))
        otherwise = self.recipes or (OWN_ROBOTS if own else '')
        return load_recipe(self.Config, self.name, task.name, name, assignments, otherwise)
