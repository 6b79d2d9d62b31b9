# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a record, by errors of pydantic: one line with the key and what is valid."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

# Characters of a wrong value in a message.
LONGEST_SHOWN = 200


def closest(name: str, valid: Iterable[str]) -> str:
    """Return 'did you mean X? ' or nothing, then the valid names, for the end of a message."""
    names = sorted(valid)
    match = difflib.get_close_matches(name, names, n=1)
    hint = f'did you mean {match[0]!r}? ' if match else ''
    return f'{hint}valid: {", ".join(names)}'


# What pydantic names by the types of Python.
_SHAPES = {
    'tuple_type': 'needs a list',
    'dict_type': 'needs a mapping of keys to values',
    'model_type': 'needs a mapping of keys to values',
}


def explain(model: type[BaseModel], error: Any) -> str:
    """Return what is wrong by an error of pydantic, in one line with the key."""
    location = [str(part) for part in error['loc'] if part != '[key]']
    shown, _ = follow(model, location)
    key = '.'.join(shown)
    if error['type'] == 'extra_forbidden':
        fields = follow(model, location[:-1])[1]
        return f'unknown key {key!r}; {closest(location[-1], fields)}'
    if error['type'] == 'missing':
        return f'missing key {key!r}'
    if error['type'] == 'union_tag_invalid':
        valid = error['ctx']['expected_tags'].replace("'", '').split(', ')
        tag = error['ctx']['tag']
        return f'{key}.kind: there is no {tag!r}; {closest(tag, valid)}'
    if error['type'] == 'literal_error' and isinstance(error['input'], str):
        valid = re.findall(r"'([^']*)'", error['ctx']['expected'])
        return f'{key}: got {_shown(error["input"])}; {closest(error["input"], valid)}'
    came = '' if isinstance(error['input'], Mapping) else f', got {_shown(error["input"])}'
    message = _SHAPES.get(error['type'], error['msg'].removeprefix('Value error, '))
    if error['type'] == 'too_short':
        least = error['ctx']['min_length']
        message = f'needs at least {least} item{"" if least == 1 else "s"}'
    if error['type'] in ('string_type', 'invalid_key'):
        came += _quotes(error['input'])
    return f'{key}: {message}{came}' if key else message


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f'{text[:LONGEST_SHOWN]}...'


def _quotes(value: Any) -> str:
    """Return what to do about a name that YAML 1.1 reads as something else."""
    if isinstance(value, (Mapping, list)):
        return ''
    words = {
        'True': 'on, yes and true',
        'False': 'off, no and false',
        'None': 'null, ~ and nothing',
    }
    what = words.get(str(value), 'numbers and dates')
    return f": YAML takes {what} for values, not for names; put a name in quotes, as in 'on'"


def follow(model: type[BaseModel], location: list[str]) -> tuple[list[str], Iterable[str]]:
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
