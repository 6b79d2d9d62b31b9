# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a record of settings takes, as a table: names, types, defaults, bounds, meanings.

Everything is read from pydantic's JSON schema of the record, so that the answer of `mbmrl
settings`, the pages of docs/reference and the schemas for editors cannot differ.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from mbmrl_ros.config import UserError, closest, share_directory
from mbmrl_ros.system.outputs import write_text

TYPES = {
    'integer': 'whole number',
    'number': 'number',
    'boolean': 'true or false',
    'string': 'text',
    'null': 'nothing',
    'object': 'mapping',
}
BOUNDS = {
    'minimum': '>= {}',
    'exclusiveMinimum': '> {}',
    'maximum': '<= {}',
    'exclusiveMaximum': '< {}',
    'minItems': 'at least {} of them',
}
REQUIRED, DERIVED = '(required)', '(see meaning)'
# Where a meaning names its source in brackets, these words are in it.
_SOURCE = re.compile(
    r'\(([^()]*(?:Table|section|Algorithm|equation|appendix|the thesis|the code)[^()]*)\)'
)


class Setting(NamedTuple):
    """A line of the table. default: as JSON, or one of the above; part: what it belongs to."""

    name: str
    type: str
    default: str
    bounds: str
    meaning: str
    section: str
    part: str


def settings_command(options: argparse.Namespace) -> None:
    """Print the settings of an algorithm; write JSON."""
    name = options.algorithm
    rows = _written(name)
    if options.json:
        entries = [row._asdict() for row in rows]
        text = json.dumps({'algorithm': name, 'settings': entries}, indent=2)
        write_text(options.json, f'{text}\n')
    print(
        f'mbmrl train {name} --task TASK --set NAME=VALUE --set NAME=VALUE ...\n'
        "Defaults are the algorithm's; config/training/<robot>/<task>.yaml changes some per task."
    )
    width = min(shutil.get_terminal_size().columns, 99)
    part = ''
    for row in rows:
        if row.part != part:
            part = row.part
            print(f'\n{part}')
        print(f'  {row.name} = {row.default}   [{_limits(row)}]')
        indent = ' ' * 6
        for line in textwrap.wrap(row.meaning, width - len(indent)):
            print(indent + line)


def _written(algorithm: str) -> list[Setting]:
    """Return the settings of an algorithm from config/settings.json; UserError if there is none.

    benchmarks/reference.py writes that file by `rows_of`, and a test compares the two: to import
    an algorithm takes as long as torch does.
    """
    path = share_directory() / 'config' / 'settings.json'
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is missing or damaged; install the package again') from error
    if algorithm not in entries:
        raise UserError(f'unknown algorithm {algorithm!r}; {closest(algorithm, entries)}')
    return [Setting(**entry) for entry in entries[algorithm]]


def rows_of(record: type[BaseModel]) -> Iterator[Setting]:
    """Yield the settings of a record: its own first, then those of the parts it is made of."""
    schema = record.model_json_schema()
    # As they are: a planner of before is written without what tells it from one of today.
    held = {
        name: dict(field.default)
        for name, field in record.model_fields.items()
        if isinstance(field.default, BaseModel)
    }
    rows = list(_rows(schema, schema.get('$defs', {}), '', held))
    seen: set[str] = set()
    for part in record.__mro__:
        own = set(vars(part).get('__annotations__', {})) - seen
        seen |= own
        about = (part.__doc__ or '').strip().split('\n')[0].rstrip('.')
        for row in rows:
            if re.split(r'[.\[]', row.name)[0] in own:
                yield row._replace(part=about)


def _rows(
    schema: Mapping[str, Any], records: Mapping[str, Any], prefix: str, given: Mapping[str, Any]
) -> Iterator[Setting]:
    """Yield the leaves below an object. given: values that take the place of its defaults."""
    needed = schema.get('required', ())
    for name, field in schema.get('properties', {}).items():
        default = given.get(name, field.get('default'))
        inner, place = _record_in(field, records, default)
        row = Setting(
            f'{prefix}{name}', type_text(field, records),
            _default_text(field, default, name in needed and name not in given),
            bounds_text(field), _meaning(field, records), _source(field), '',
        )  # fmt: skip
        values = default if isinstance(default, Mapping) and not place else {}
        if inner is not None and 'oneOf' in field:
            # Of several kinds: which there are, then the keys of the usual one.
            kind = json.dumps(_constant(inner))
            yield row._replace(name=f'{prefix}{name}.kind', default=kind)
            inner = {'properties': {k: v for k, v in inner['properties'].items() if k != 'kind'}}
        elif inner is None or default is None or place:
            yield row
        if inner is not None:
            yield from _rows(inner, records, f'{prefix}{name}{place}.', values)


def _default_text(field: Mapping[str, Any], default: Any, required: bool) -> str:
    if not required:
        return json.dumps(default, ensure_ascii=False)
    # What is computed where the file has none is told in the meaning.
    return DERIVED if 'default:' in field.get('description', '') else REQUIRED


def _record_in(
    field: Mapping[str, Any], records: Mapping[str, Any], default: Any
) -> tuple[Mapping[str, Any] | None, str]:
    """Return the record that a field holds, and how its keys are reached from the field.

    Of records of several kinds it is that of the default.
    """
    if '$ref' in field:
        record = _resolved(field, records)
        return (record, '') if 'properties' in record else (None, '')
    if field.get('type') == 'array' and '$ref' in field.get('items', {}):
        return _resolved(field['items'], records), '[]'
    values = field.get('additionalProperties')
    if isinstance(values, Mapping) and '$ref' in values:
        return _resolved(values, records), '.<name>'
    options = [_resolved(each, records) for each in field.get('oneOf', field.get('anyOf', ()))]
    held = [each for each in options if 'properties' in each]
    kind = default.get('kind') if isinstance(default, Mapping) else None
    chosen = [each for each in held if _constant(each) == kind] if len(held) > 1 else held
    return (chosen[0], '') if chosen else (None, '')


def _constant(record: Mapping[str, Any]) -> Any:
    return record['properties'].get('kind', {}).get('const')


def _resolved(field: Mapping[str, Any], records: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = field.get('$ref')
    return field if reference is None else records[reference.rsplit('/', 1)[1]]


def type_text(field: Mapping[str, Any], records: Mapping[str, Any]) -> str:
    """Return the type of a value in words."""
    field = _resolved(field, records)
    options = field.get('oneOf', field.get('anyOf'))
    if options:
        return ' or '.join(dict.fromkeys(type_text(each, records) for each in options))
    if 'properties' in field:
        kind = _constant(field)
        return str(kind or 'a group')
    if 'const' in field or 'enum' in field:
        return ' or '.join(map(str, field.get('enum', [field.get('const')])))
    if field.get('type') == 'array':
        pair = field.get('prefixItems')
        if pair:
            return f'[{", ".join(type_text(each, records) for each in pair)}]'
        return f'list of {type_text(field.get("items", {}), records)}'
    values = field.get('additionalProperties')
    if isinstance(values, Mapping):
        return f'mapping of names to {type_text(values, records)}'
    return TYPES.get(str(field.get('type')), 'any')


def bounds_text(field: Mapping[str, Any]) -> str:
    """Return the bounds of a value, of what it may be a list of too."""
    held = [field, *field.get('anyOf', ())]
    held += [each['items'] for each in held if isinstance(each.get('items'), Mapping)]
    held += [
        each['additionalProperties']
        for each in held
        if isinstance(each.get('additionalProperties'), Mapping)
    ]
    texts = [
        text.format(f'{each[key]:g}')
        for each in held
        for key, text in BOUNDS.items()
        if key in each and not (key == 'minItems' and 'prefixItems' in each)
    ]
    return ', '.join(dict.fromkeys(texts))


def _meaning(field: Mapping[str, Any], records: Mapping[str, Any]) -> str:
    """Return what is said of a field, or of the record that it holds; in one line."""
    said = field.get('description') or _resolved(field, records).get('description', '')
    return ' '.join(said.split())


def _source(field: Mapping[str, Any]) -> str:
    """Return the sections, tables and such that a meaning names in brackets."""
    return '; '.join(_SOURCE.findall(' '.join(field.get('description', '').split())))


def _limits(row: Setting) -> str:
    return ', '.join(text for text in (row.type, row.bounds) if text)
