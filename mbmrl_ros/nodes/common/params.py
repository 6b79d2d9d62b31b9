# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from typed settings: one record says name, type, default, bounds, meaning.

Values are validated by the record, so that a wrong one is answered by one line that names what is
valid. A nested record becomes a group: `planner.horizon`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mbmrl_ros.config import PACKAGE, UserError, closest, parse, read_yaml

# Parameters that rclpy declares by itself, so that they are not unknown.
_BUILT_IN = ('use_sim_time', 'start_type_description_service', 'qos_overrides.')
_LARGEST_INTEGER = 2**63 - 1


class Settings(BaseModel):
    """Base of a node's settings: immutable, strict about keys and types.

    renamed: what parameters were called before, with what they are called now.
    """

    model_config = ConfigDict(frozen=True, extra='forbid', strict=True, validate_default=True)
    renamed: ClassVar[dict[str, str]] = {}


SettingsType = TypeVar('SettingsType', bound=Settings)


def check_files(arguments: Sequence[str]) -> None:
    """Raise UserError if a file of parameters is not sound YAML: rcl says neither which nor where.

    Of a key that stands twice rcl takes one, and says nothing. arguments: of the process.
    """
    for flag, value in pairwise(arguments):
        if flag == '--params-file':
            read_yaml(Path(value))


def declare(node: Node, model: type[SettingsType]) -> SettingsType:
    """Declare every field as a parameter; return the settings with the overrides applied.

    UserError on an unknown or wrong one.
    """
    given = {
        name: parameter.value
        for name, parameter in node._parameter_overrides.items()
        if not name.startswith(_BUILT_IN) and parameter.value is not None
    }
    settings = validate(model, _by_present_names(model, given), 'parameter')
    values = dict(flat_values(settings))
    for name, field in flat_fields(model):
        node.declare_parameter(name, _to_ros(values[name]), _descriptor(field), True)
    return settings


def validate(model: type[SettingsType], values: Mapping[str, Any], source: str) -> SettingsType:
    """Return the settings of flat values (`group.key`); UserError names the closest valid key."""
    fields = dict(flat_fields(model))
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            raise UserError(f'{source}: unknown parameter {name!r}; {closest(name, fields)}')
        *groups, leaf = name.split('.')
        target = nested
        for group in groups:
            target = target.setdefault(group, {})
        target[leaf] = _from_ros(value)
    return parse(model, nested, source)


def changed(
    settings: SettingsType, parameters: list[Parameter[Any]], allowed: frozenset[str] | None
) -> SettingsType:
    """Return settings with new values of parameters; others than the settings' are left alone.

    allowed: what may change now (None: everything). UserError if a value is not valid.
    """
    values = dict(flat_values(settings))
    for parameter in parameters:
        name = parameter.name
        if name not in values:
            continue
        if allowed is not None and name not in allowed:
            raise UserError(
                f'{name} counts when the node is configured: clean it up first; '
                f'at run time: {", ".join(sorted(allowed))}'
            )
        values[name] = parameter.value
    return validate(type(settings), values, 'parameter')


def flat_fields(model: type[BaseModel], prefix: str = '') -> Iterator[tuple[str, FieldInfo]]:
    """Yield every leaf field with its parameter name."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from flat_fields(field.annotation, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', field


def _by_present_names(model: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat values by the present names of parameters; say what old ones are called now."""
    former = dict(_former_names(model))
    for name in former.keys() & values.keys():
        logging.getLogger(PACKAGE).warning(
            f'parameter {name} is called {former[name]} now; the old name is read for one release'
        )
    return {former.get(name, name): value for name, value in values.items()}


def _former_names(model: type[Settings], prefix: str = '') -> Iterator[tuple[str, str]]:
    """Yield what parameters were called before, with what they are called now."""
    for former, name in model.renamed.items():
        yield f'{prefix}{former}', f'{prefix}{name}'
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _former_names(field.annotation, f'{prefix}{name}.')


def flat_values(settings: BaseModel, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield every leaf value with its parameter name."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from flat_values(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


def help_text(model: type[Settings]) -> str:
    """Return a line per parameter: name, default, meaning."""
    defaults = dict(flat_values(model()))
    return '\n'.join(
        f'  {name} (default {_to_ros(defaults[name])!r}): {field.description}'
        for name, field in flat_fields(model)
    )


def _to_ros(value: Any) -> Any:
    # The type of an empty list cannot be told, so an empty one holds an empty string.
    return (list(value) or ['']) if isinstance(value, tuple) else value


def _from_ros(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(item for item in value if item != '')
    return value


def _descriptor(field: FieldInfo) -> ParameterDescriptor:
    """Return description and bounds; a range in ROS includes its ends, so open ends do too."""
    descriptor = ParameterDescriptor(description=field.description or '')
    low, high = _bound(field, 'ge', 'gt'), _bound(field, 'le', 'lt')
    if low is None and high is None:
        return descriptor
    if field.annotation is int:
        descriptor.integer_range = [
            IntegerRange(
                from_value=-_LARGEST_INTEGER if low is None else int(low),
                to_value=_LARGEST_INTEGER if high is None else int(high),
            )
        ]
    else:
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=-math.inf if low is None else low,
                to_value=math.inf if high is None else high,
            )
        ]
    return descriptor


def _bound(field: FieldInfo, *kinds: str) -> float | None:
    for constraint in field.metadata:
        for kind in kinds:
            if (value := getattr(constraint, kind, None)) is not None:
                return float(value)
    return None
