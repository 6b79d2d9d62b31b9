# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes: the settings of a training, by robot and task, in config/training/<robot>/<task>.yaml.

    default:                # two cores; what you get without naming one
      all: {...}            # for every algorithm that the recipe names
      grbal: {...}
    paper: {...}            # the values of the thesis
    from_mb:
      extends: default      # upon another recipe of the file
      grbal: {...}

A name may be a pattern, such as '*_trpo'. An algorithm that a recipe does not name has none of it.
A file may itself extend another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from mbmrl_ros.config import (
    ConfigType,
    UserError,
    closest,
    merged,
    override,
    parse,
    read_extended,
    share_directory,
)

DEFAULT, SHARED, UPON = 'default', 'all', 'extends'
# Of the time when every recipe was a file.
RENAMED = {'two_cores': DEFAULT, 'from_far': 'far', 'plain': 'paper'}
OF_EXPERIMENTS = (
    'anew', 'further', 'from_anew', 'from_further', 'oracle', 'far_oracle', 'trpo_thesis',
)  # fmt: skip


class Recipe(NamedTuple):
    """Settings as they are written, and where they are from."""

    settings: dict[str, Any]
    source: str


def load_recipe(
    record: type[ConfigType],
    algorithm: str,
    task: str,
    name: str | None = None,
    assignments: tuple[str, ...] = (),
    otherwise: str = '',
) -> ConfigType:
    """Return a recipe as settings of the class `record`, with `key=value` overrides.

    otherwise: whose recipes count where a task has none for the algorithm; empty: nobody's.
    """
    settings, source = read_recipe(algorithm, task, name, otherwise)
    return parse(record, override(settings, assignments), source, assignments)


def read_recipe(algorithm: str, task: str, name: str | None = None, otherwise: str = '') -> Recipe:
    """Read what an algorithm has in a recipe of a task.

    name: of the recipe; or a path that ends in .yaml, of a file with recipes, of which `default`
    is taken, or with settings alone. Without one, what there is no recipe for is trained with the
    defaults of the settings. UserError if there is no such recipe.
    """
    if name is not None and name.endswith(('.yaml', '.yml')):
        return Recipe(_own_settings(Path(name), algorithm), name)
    folder = share_directory() / 'config' / 'training'
    path = folder / f'{task}.yaml'
    if otherwise and not _has_recipes(path, algorithm):
        path = folder / f'{otherwise}.yaml'
    if name is None and not _has_recipes(path, algorithm):
        return Recipe({}, '--set')
    if not path.exists():
        raise UserError(f'there are no recipes for {task}; name a file by --config FILE.yaml')
    return Recipe(_of_recipe(read_extended(path), algorithm, name or DEFAULT, path), str(path))


def recipe_names(recipes: Mapping[str, Any], algorithm: str) -> list[str]:
    """Return the recipes that name an algorithm."""
    return [name for name, parts in recipes.items() if _sections(parts, algorithm)]


def _has_recipes(path: Path, algorithm: str) -> bool:
    return path.exists() and bool(recipe_names(read_extended(path), algorithm))


def _of_recipe(
    recipes: Mapping[str, Any], algorithm: str, name: str, path: Path
) -> dict[str, Any]:
    for one, parts in recipes.items():
        _check(parts, f'{path}: recipe {one!r}')
    valid = recipe_names(recipes, algorithm)
    if name not in valid:
        raise UserError(f'{_lacking(name, valid)} ({algorithm}, {path})')
    return _resolved(recipes, algorithm, name, path)


def _check(parts: Any, where: str) -> None:
    """Raise UserError where a recipe is not one of settings by algorithm."""
    if not isinstance(parts, Mapping):
        raise UserError(
            f'{where} needs settings by algorithm, such as all: {{...}}, got {parts!r}'
        )
    for key, value in parts.items():
        wanted: tuple[type, str] = (Mapping, 'a mapping of settings')
        if key == UPON:
            wanted = (str, 'the name of a recipe of the same file')
        if not isinstance(value, wanted[0]):
            raise UserError(f'{where}: {key} needs {wanted[1]}, got {value!r}')


def _lacking(name: str, valid: list[str]) -> str:
    if RENAMED.get(name) in valid:
        return f'--config {name} is called {RENAMED[name]} now; valid: {", ".join(valid)}'
    if name in OF_EXPERIMENTS:
        return (
            f'--config {name} is for experiments alone now (mbmrl experiment, '
            f'mbmrl_ros/experiments/experiments.yaml); valid: {", ".join(valid)}'
        )
    return f'no recipe {name!r}; {closest(name, valid)}'


def _resolved(
    recipes: Mapping[str, Any], algorithm: str, name: str, path: Path, above: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return settings upon those of the recipe that this one extends."""
    if name in above or name not in recipes:
        chain = ' -> '.join((*above, name))
        why = 'extends itself' if name in above else f'extends {name!r}, which there is not'
        raise UserError(f'{path}: recipe {(*above, name)[0]!r} {why}: {chain}')
    parts, settings = recipes[name], {}
    if UPON in parts:
        settings = _resolved(recipes, algorithm, parts[UPON], path, (*above, name))
    for part in (SHARED, *_sections(parts, algorithm)):
        settings = merged(settings, parts.get(part, {}))
    return settings


def _sections(parts: Mapping[str, Any], algorithm: str) -> list[str]:
    """Return the sections of a recipe that name an algorithm, as they are written."""
    special = (SHARED, UPON)
    return [part for part in parts if part not in special and fnmatchcase(algorithm, part)]


def _own_settings(path: Path, algorithm: str) -> dict[str, Any]:
    """Return the settings of a user's file: flat ones, or those of its recipe `default`."""
    data = read_extended(path)
    flat = not isinstance(data.get(DEFAULT), Mapping)
    return data if flat else _of_recipe(data, algorithm, DEFAULT, path)
