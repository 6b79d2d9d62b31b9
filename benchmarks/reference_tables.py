# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tables in Markdown, as the pages of docs/reference have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mbmrl_ros.cli.settings import Setting, rows_of


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ['---'] * len(head), *rows]
    cells = [[_escaped(cell) for cell in line] for line in lines]
    return '\n'.join(f'| {" | ".join(line)} |' for line in cells) + '\n'


def _escaped(cell: str) -> str:
    """Return text that stays as it is in a table: no column ends in it, no <name> is a tag."""
    parts = cell.replace('|', '\\|').split('`')
    parts[::2] = [re.sub('<(?=[a-z])', '&lt;', part) for part in parts[::2]]
    return '`'.join(parts)


def settings_table(rows: Iterable[Setting]) -> str:
    """Return settings as a table."""
    entries = []
    for row in rows:
        kind, meaning = row.type, row.meaning
        if len(kind) > 60:  # so wide a column leaves no room for the others
            kind, names = 'one of', ', '.join(map(code, kind.split(' or ')))
            meaning = '; '.join(filter(None, (meaning, names)))
        limits = ', '.join(filter(None, (kind, row.bounds)))
        default = row.default if row.default.startswith('(') else code(row.default)
        entries.append([code(row.name), limits, default, meaning])
    return table(['name', 'type', 'default', 'meaning'], entries)


def sections(records: Mapping[str, Any]) -> str:
    """Return a section with the settings of each record."""
    return ''.join(
        f'\n## {name}\n\n{settings_table(rows_of(record))}' for name, record in records.items()
    )


def code(text: str) -> str:
    """Return text as code."""
    return f'`{text}`'
