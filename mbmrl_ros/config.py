# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Typed configuration from YAML, with errors that a person can act on.

Validation is pydantic's; this module adds where files lie, `key=value` overrides, and one-line
messages that name the closest valid key.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from mbmrl_ros.endings import UserError as UserError
from mbmrl_ros.outputs import write_text as write_text

PACKAGE = 'mbmrl_ros'
Positive = Annotated[FiniteFloat, Field(gt=0)]


class Config(BaseModel):
    """Base of every configuration record: immutable, and strict about keys."""

    model_config = ConfigDict(
        frozen=True, extra='forbid', validate_default=True, allow_inf_nan=False
    )


ConfigType = TypeVar('ConfigType', bound=BaseModel)


def share_directory() -> Path:
    """Return the folder that holds config/, bundles/, urdf/ and launch/.

    In order: the checkout (an editable install), the prefix this module was installed under (pip
    with or without --user or --prefix), every prefix of AMENT_PREFIX_PATH (colcon), the prefix of
    this Python.
    """
    module = Path(__file__).resolve()
    checkout = module.parent.parent
    own = [str(parent.parent) for parent in module.parents if parent.name == 'lib'][:1]
    prefixes = [*own, *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    installed = [Path(prefix) / 'share' / PACKAGE for prefix in prefixes if prefix]
    for candidate in [checkout, *installed]:
        if (candidate / 'config' / 'robots').is_dir():
            return candidate
    places = ', '.join(str(path) for path in [checkout, *installed])
    raise UserError(f'the package data (config/robots) is in none of: {places}; install again')


def closest(name: str, valid: Iterable[str]) -> str:
    """Return 'did you mean X? ' or nothing, then the valid names, for the end of a message."""
    names = sorted(valid)
    match = difflib.get_close_matches(name, names, n=1)
    hint = f'did you mean {match[0]!r}? ' if match else ''
    return f'{hint}valid: {", ".join(names)}'


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; UserError if the file is missing, damaged, or not a mapping."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = ' '.join(str(error).split())
        raise UserError(f'{path} is not valid YAML: {line}') from error
    if not isinstance(data, dict):
        raise UserError(f'{path} must hold a mapping of keys to values')
    return data


def read_extended(path: Path) -> dict[str, Any]:
    """Read a YAML mapping upon the one that it `extends`, a file beside it.

    A mapping in it changes key by key, everything else as a whole; a mapping of another `kind`
    (such as a planner) too, whose keys are others. UserError as `read_yaml`.
    """
    data = read_yaml(path)
    base = data.pop('extends', None)
    return data if base is None else _merged(read_extended(path.parent / str(base)), data)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            of_a_kind = value.get('kind', inner.get('kind')) == inner.get('kind')
            value = _merged(inner, value) if of_a_kind else value
        result[key] = value
    return result


def parse(model: type[ConfigType], data: Mapping[str, Any], source: str) -> ConfigType:
    """Validate data as `model`; UserError in one line that names source, key and what is valid."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f'{source}: {_explain(model, first)}') from error


def override(data: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Apply `key=value` and `group.key=value` (values in YAML) to a copy of data."""
    result = dict(data)
    for assignment in assignments:
        key, separator, text = assignment.partition('=')
        if not separator or not key:
            raise UserError(f'--set takes key=value, got {assignment!r}')
        target = result
        *groups, leaf = key.split('.')
        for group in groups:
            nested = target.get(group)
            target[group] = dict(nested) if isinstance(nested, dict) else {}
            target = target[group]
        try:
            target[leaf] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f'--set {key}: {text!r} is not valid YAML') from error
    return result


def _explain(model: type[BaseModel], error: Any) -> str:
    location = [str(part) for part in error['loc']]
    shown, _ = _follow(model, location)
    key = '.'.join(shown)
    if error['type'] == 'extra_forbidden':
        fields = _follow(model, location[:-1])[1]
        return f'unknown key {key!r}; {closest(location[-1], fields)}'
    if error['type'] == 'missing':
        return f'missing key {key!r}'
    if error['type'] == 'union_tag_invalid':
        valid = error['ctx']['expected_tags'].replace("'", '').split(', ')
        tag = error['ctx']['tag']
        return f'{key}.kind: there is no {tag!r}; {closest(tag, valid)}'
    came = '' if isinstance(error['input'], Mapping) else f', got {error["input"]!r}'
    message = error['msg'].removeprefix('Value error, ')
    return f'{key}: {message}{came}' if key else message


def _follow(model: type[BaseModel], location: list[str]) -> tuple[list[str], Iterable[str]]:
    """Return a location as the user wrote it, and the names of the fields of the record there.

    Where a record is one of several kinds, pydantic puts its kind into the location.
    """
    shown, records = [], [model]
    for part in location:
        chosen = [record for record in records if _kind(record) == part]
        if len(records) > 1 and chosen:
            records = chosen
            continue
        shown.append(part)
        if part in records[0].model_fields:
            records = _records_in(records[0].model_fields[part].annotation) or records
    return shown, records[0].model_fields


def _kind(record: type[BaseModel]) -> Any:
    field = record.model_fields.get('kind')
    return None if field is None else field.default


def _records_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    arguments = getattr(annotation, '__args__', ())
    return [record for argument in arguments for record in _records_in(argument)]
