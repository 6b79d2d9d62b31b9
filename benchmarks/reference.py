# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write what is generated from the code: docs/reference, config/lists.json, config/schemas.

    python benchmarks/reference.py

A test compares the files with what this would write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from reference_pages import pages

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.cli.lists import about
from mbmrl_ros.cli.settings import rows_of
from mbmrl_ros.envs.tasks import POLICY_TASKS, TASKS
from mbmrl_ros.experiments.every_study import STUDIES
from mbmrl_ros.experiments.studies import FIGURES
from mbmrl_ros.spec.robot import RobotSpec, load_robot, robot_names

ROOT = Path(__file__).resolve().parent.parent
REFERENCE, SCHEMAS = ROOT / 'docs' / 'reference', ROOT / 'config' / 'schemas'
LISTS = ROOT / 'config' / 'lists.json'
SETTINGS = ROOT / 'config' / 'settings.json'
# Of running nodes, by reference_topics.py.
TOPICS = REFERENCE / 'topics.md'


def files() -> dict[Path, str]:
    """Return every generated file with its text."""
    listed = lists()
    written = {REFERENCE / f'{name}.md': text for name, text in pages(listed).items()}
    return written | schemas() | {LISTS: as_json(listed), SETTINGS: as_json(settings())}


def lists() -> dict[str, dict[str, str]]:
    """Return what `mbmrl algorithms`, `tasks`, `robots` and `experiments` say, by name."""
    of_policies = {
        name: f'{task.description} (for policies)' for name, task in POLICY_TASKS.items()
    }
    robots = {name: load_robot(name) for name in robot_names()}
    return {
        'algorithms': {each.name: each.summary for each in ALGORITHMS.values()},
        'tasks': {name: task.description for name, task in TASKS.items()} | of_policies,
        'robots': {name: about(spec) for name, spec in robots.items()},
        'experiments': {name: each.title for name, each in (FIGURES | STUDIES).items()},
    }


def settings() -> dict[str, list[dict[str, str]]]:
    """Return what `mbmrl settings ALGO` says, by algorithm."""
    return {
        each.name: [row._asdict() for row in rows_of(each.Config)] for each in ALGORITHMS.values()
    }


def schemas() -> dict[Path, str]:
    """Return the JSON schemas for editors."""
    records: dict[str, type[BaseModel]] = {'robot': RobotSpec}
    records |= {f'settings/{each.name}': each.Config for each in ALGORITHMS.values()}
    return {
        SCHEMAS / f'{name}.schema.json': as_json(editor_schema(record))
        for name, record in records.items()
    }


def editor_schema(record: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a file that may extend another one, so that no key has to be in it."""
    schema: dict[str, Any] = without_required(record.model_json_schema())
    extends = {'type': 'string', 'description': 'a file beside this one, which this one changes'}
    schema['properties'] = {'extends': extends} | schema['properties']
    return {'$schema': 'https://json-schema.org/draft/2020-12/schema'} | schema


def without_required(schema: Any) -> Any:
    """Return a schema in which nothing has to be there, however deep."""
    if isinstance(schema, list):
        return [without_required(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_required(part)
        for key, part in schema.items()
        if not (key == 'required' and isinstance(part, list))
    }


def as_json(data: Any) -> str:
    """Return data as the text of a file."""
    return json.dumps(data, indent=1, ensure_ascii=False) + '\n'


if __name__ == '__main__':
    current = files()
    for folder in (REFERENCE, SCHEMAS):
        for path in folder.rglob('*.*'):
            if path not in current and path != TOPICS:
                path.unlink()
    for path, text in current.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print(f'{len(current)} files')
