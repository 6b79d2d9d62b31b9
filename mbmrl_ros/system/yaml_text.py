# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""YAML to values, without what PyYAML lets pass; what is wrong is said in one line.

A key that stands twice is nearly always a mistake, of which PyYAML takes the last value. Aliases
can stand for more values than fit into memory.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

import yaml

LARGEST_BYTES = 1_000_000
"""Of a text: a robot of a hundred joints needs 40 kB."""
MOST_VALUES = 100_000
DEEPEST = 50
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: 'UTF-32',
    codecs.BOM_UTF16_LE: 'UTF-16',
    codecs.BOM_UTF16_BE: 'UTF-16',
}


class YamlError(ValueError):
    """What is wrong with a text, in one line, with the number of the line where there is one."""


def load_yaml(source: bytes | str) -> Any:
    """Return the value of a YAML text, None for an empty one; YamlError if it is not valid."""
    if len(source) > LARGEST_BYTES:
        raise YamlError(f'it is longer than {LARGEST_BYTES // 1_000_000} MB')
    text = _decoded(source) if isinstance(source, bytes) else source
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Nodes().size(node, 0)
        return loader.construct_document(node)
    except RecursionError:
        raise YamlError(f'it is nested deeper than {DEEPEST} levels') from None
    except yaml.reader.ReaderError as error:
        line = text.count('\n', 0, error.position) + 1
        raise YamlError(f'line {line}: character {error.character!r} cannot be printed') from error
    except yaml.MarkedYAMLError as error:
        raise YamlError(_explained(error)) from error


def _decoded(source: bytes) -> str:
    for mark, name in _OTHER_ENCODINGS.items():
        if source.startswith(mark):
            raise YamlError(f'it is {name}; save it as UTF-8 (iconv -f {name} -t UTF-8)')
    try:
        return source.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = source.count(b'\n', 0, error.start) + 1
        byte = source[error.start]
        raise YamlError(
            f'line {line}: byte 0x{byte:02x} is not UTF-8; save it as UTF-8 '
            '(from Latin-1: iconv -f LATIN1 -t UTF-8)'
        ) from error


def _explained(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f'line {mark.line + 1}, column {mark.column + 1}: ' if mark else ''
    said = ' '.join(f'{error.problem or error.context}'.split())
    hint = '; YAML is indented by spaces, not by tabs' if r"'\t'" in said else ''
    return f'{place}{said}{hint}'


def _at(node: yaml.Node, text: str) -> YamlError:
    return YamlError(f'line {node.start_mark.line + 1}: {text}')


class _Loader(yaml.SafeLoader):
    """SafeLoader whose errors have a line, whatever a value makes Python raise."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # month 13, a number of 5000 digits, `!!int x`: of all kinds
            reason = ' '.join(str(error).split())[:100]
            raise _at(node, f'{node.tag.rpartition(":")[2]} cannot be read: {reason}') from error


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    """Return a number; ValueError if it is one to YAML 1.1 only: 0200 is 128, and 3:20 is 200."""
    whole = node.tag.endswith('int')
    value = loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)
    if ':' in node.value or (whole and re.fullmatch(r'[-+]?0[0-9_]+', node.value)):
        raise ValueError(
            f'{node.value} is {value} to YAML: write no zeros before a number and no colons, a '
            'name in quotes'
        )
    return value


for _tag in ('int', 'float'):
    _Loader.add_constructor(f'tag:yaml.org,2002:{_tag}', _number)


class _Nodes:
    """Looks through a tree before it becomes values."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()

    def size(self, node: yaml.Node, depth: int) -> int:
        """Return how many values a node stands for, aliases written out; YamlError if too many."""
        if id(node) in self._open:
            raise _at(node, 'an alias (*) stands inside of what it is an alias of')
        if depth > DEEPEST:
            raise _at(node, f'it is nested deeper than {DEEPEST} levels')
        if id(node) not in self._sizes:
            self._open.add(id(node))
            size = 1 + sum(self.size(child, depth + 1) for child in _children(node))
            if size > MOST_VALUES:
                raise _at(node, f'this stands for more than {MOST_VALUES} values')
            self._sizes[id(node)] = size
            self._open.discard(id(node))
        return self._sizes[id(node)]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _at(key, 'a key is a name, not a list or a mapping')
        name = (key.tag, key.value)
        if name in lines:
            raise _at(key, f'key {key.value!r} stands twice, first in line {lines[name]}')
        lines[name] = key.start_mark.line + 1
    return [value for _, value in node.value]
