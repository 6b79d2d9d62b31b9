# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Typed configuration from YAML, with errors that a person can act on.

Validation is pydantic's; this module adds where files lie, former names of keys and `key=value`
overrides. Messages are in system/explain.py.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, get_args
from urllib.parse import unquote

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mbmrl_ros.system.endings import UserError as UserError
from mbmrl_ros.system.explain import closest as closest
from mbmrl_ros.system.explain import explain, follow
from mbmrl_ros.system.outputs import write_text as write_text
from mbmrl_ros.system.yaml_text import LARGEST_BYTES, YamlError, load_yaml

PACKAGE = 'mbmrl_ros'
Positive = Annotated[FiniteFloat, Field(gt=0)]
Width = Annotated[int, Field(ge=1)]
"""Units of a layer."""
# Files that extend each other: a robot and its variants are three.
LONGEST_CHAIN = 20


class Mistake(NamedTuple):
    """What is wrong, in one line, at which place of a file: its keys from the top."""

    place: tuple[str | int, ...]
    text: str


class Config(BaseModel):
    """Base of every configuration record: immutable, and strict about keys.

    renamed: what keys were called before, with what they are called now.
    """

    model_config = ConfigDict(
        frozen=True, extra='forbid', validate_default=True, allow_inf_nan=False
    )
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode='before')
    @classmethod
    def _read_former_names(cls, data: Any) -> Any:
        """Read keys of before, and say what they are called now."""
        if not isinstance(data, Mapping):
            return data
        former = former_names(cls)
        for name in former.keys() & data.keys():
            _tell(f'{name} is called {former[name]} now; the old name is read for one release')
        return current_names(cls, data)

    @field_validator('*', mode='before')
    @classmethod
    def _no_switches_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse True where a number belongs: pydantic takes it for 1."""
        if _holds_switch(value) and _takes_numbers(cls, str(info.field_name)):
            raise ValueError('needs numbers; YAML takes on, yes, true and the like for switches')
        return value


def current_names(record: type[Config], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return data by the present names of a record's keys; of two for one, the later one."""
    former = former_names(record)
    return {former.get(name, name): value for name, value in data.items()}


def known_settings(record: type[Config], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that an older version may have written, as they are called now.

    Those that are no more are left out: a run of before named those of other algorithms as well.
    """
    named = current_names(record, found)
    return {name: value for name, value in named.items() if name in record.model_fields}


@functools.cache
def former_names(record: type[Config]) -> dict[str, str]:
    """Return what keys of a record were called before, with what they are called now."""
    return {
        former: name
        for part in record.__mro__
        for former, name in vars(part).get('renamed', {}).items()
    }


@functools.cache
def _tell(notice: str) -> None:
    """Say something once."""
    logging.getLogger(PACKAGE).warning(notice)


def _holds_switch(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_holds_switch, value)) if isinstance(value, list) else isinstance(value, bool)


@functools.cache
def _takes_numbers(record: type[BaseModel], name: str) -> bool:
    """Return whether a field is of numbers, and neither of switches nor of records."""
    leaves = set(_leaves(record.model_fields[name].annotation))
    if Any in leaves or bool in leaves:
        return False
    return bool({int, float} & leaves) and not any(issubclass(x, BaseModel) for x in leaves)


def _leaves(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is made of."""
    if annotation is Any or (isinstance(annotation, type) and not get_args(annotation)):
        yield annotation
    for argument in get_args(annotation):
        yield from _leaves(argument)


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


def is_uri(name: str) -> bool:
    """Whether a file is named as URDFs name theirs, by package:// or file://."""
    return name.startswith(('package://', 'file://'))


def find_file(name: str, folder: Path) -> Path:
    """Return where a file is that is named relative to a folder, or as package://PACKAGE/PATH.

    A package is in a prefix of AMENT_PREFIX_PATH, or a folder of its name in this folder or one
    above it. UserError if none has the file.
    """
    if name.startswith('file://'):
        return Path(unquote(name.removeprefix('file://')))
    if not name.startswith('package://'):
        return folder / name
    package, _, inside = unquote(name.removeprefix('package://')).partition('/')
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '')
    shares = [Path(prefix) / 'share' for prefix in prefixes.split(os.pathsep) if prefix]
    beside = folder.resolve()
    places = [place / package for place in (*shares, beside, *beside.parents)]
    for place in places:
        if (place / inside).is_file():
            return place / inside
    found = ', '.join(str(place) for place in places if place.is_dir())
    if found:
        raise UserError(f'{name}: the package {package} ({found}) has no file {inside}')
    raise UserError(
        f'{name}: no package {package} below AMENT_PREFIX_PATH ({prefixes or "not set"}), and no '
        f'folder {package} in {beside} or above; source its workspace, or put it beside the file'
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; UserError if the file is missing, damaged, or not a mapping."""
    try:
        with path.open('rb') as file:
            # No more than tells that it is too much: a device has no end.
            source = file.read(LARGEST_BYTES + 1)
        data = load_yaml(source)
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except YamlError as error:
        raise UserError(f'{path} is not valid YAML: {error}') from error
    if not isinstance(data, dict):
        what = 'is empty' if data is None else f'holds {_kind_of(data)}'
        raise UserError(f'{path} {what}; it must hold a mapping of keys to values')
    return data


def _kind_of(value: Any) -> str:
    return 'a list' if isinstance(value, list) else f'only {value!r}'[:60]


def read_extended(path: Path, shipped: Path | None = None) -> dict[str, Any]:
    """Read a YAML mapping upon the one that it `extends`, a file beside it or in `shipped`.

    A mapping in it changes key by key, everything else as a whole; a mapping of another `kind`
    (such as a planner) too, whose keys are others. UserError as `read_yaml`, or if files extend
    each other in a circle.
    """
    return _read_upon(path, (), shipped)


def _read_upon(path: Path, above: tuple[Path, ...], shipped: Path | None) -> dict[str, Any]:
    """above: the files that extend this one, the first one first."""
    chain = ' -> '.join(file.name for file in (*above, path))
    if path.resolve() in [file.resolve() for file in above]:
        raise UserError(f'{above[0]} extends itself: {chain}')
    if len(above) == LONGEST_CHAIN:
        raise UserError(f'{above[0]} extends more than {LONGEST_CHAIN} files: {chain}')
    try:
        data = read_yaml(path)
    except UserError as error:
        raise (UserError(f'{error} ({above[-1]} extends it)') if above else error) from error
    if 'extends' not in data:
        return data
    base = data.pop('extends')
    if not isinstance(base, str) or not base:
        raise UserError(f'{path}: extends takes the name of a file beside it, got {base!r}')
    beside = path.parent / base
    below = None if shipped is None or beside.exists() else shipped / base
    lower = below if below is not None and below.exists() else beside
    return merged(_read_upon(lower, (*above, path), shipped), data)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with changes, as `read_extended` makes them."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            of_a_kind = value.get('kind', inner.get('kind')) == inner.get('kind')
            value = merged(inner, value) if of_a_kind else value
        result[key] = value
    return result


def parse(
    model: type[ConfigType], data: Mapping[str, Any], source: str, assignments: Iterable[str] = ()
) -> ConfigType:
    """Validate data as `model`; UserError in one line that names source, key and what is valid.

    assignments: what `override` has changed; what is wrong with it is not the source's.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A key that is missing is often one that is misspelt.
        first = min(error.errors(), key=lambda found: found['type'] != 'extra_forbidden')
        whose = _source_of(model, first, source, [each.partition('=')[0] for each in assignments])
        raise UserError(f'{whose}: {explain(model, first)}') from error


def _source_of(model: type[BaseModel], error: Any, source: str, assigned: list[str]) -> str:
    """Return where a mistake is from: a file, or what --set has changed upon it."""
    key = '.'.join(follow(model, [str(part) for part in error['loc']])[0])
    # Of a mistake about several keys nobody knows which of them is wrong.
    asked = any(
        not key or f'{key}.'.startswith(f'{each}.') or each.startswith(f'{key}.')
        for each in assigned
    )
    return f'--set upon {source}' if asked and source != '--set' else source


def refuse(found: Iterable[Mistake], info: ValidationInfo, within: str = '') -> None:
    """Raise the first mistake of a record, if there is one, as a validator does.

    Where the context of a validation is a list, all of them go there, and nothing is raised.
    within: the place of the record in the file.
    """
    if isinstance(info.context, list):
        head = (within,) if within else ()
        info.context.extend(Mistake((*head, *place), text) for place, text in found)
        return
    for _, text in found:
        raise ValueError(text)


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
            target[leaf] = load_yaml(text)
        except YamlError as error:
            raise UserError(f'--set {key}: {text[:60]!r} is not valid YAML: {error}') from error
    return result
