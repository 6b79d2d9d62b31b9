# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference/topics.md, from what the nodes have when they run.

    python benchmarks/reference_topics.py

The nodes are those of the SROS2 policy, each started where nobody else hears it, and some more
for what they have with other settings. It takes half a minute; a test compares the page.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import topic_meanings as told
from reference_tables import code, table
from topic_notes import Endpoint, Notes, observe

PAGE = Path(__file__).resolve().parent.parent / 'docs' / 'reference' / 'topics.md'
ORDER = ('publishes', 'hears', 'offers', 'calls')
NOTE = '<!-- python benchmarks/reference_topics.py writes this page from running nodes -->\n'
HEAD = """# Topics and services

{note}
What each node publishes, hears, offers (services) and calls. There are no actions. `~/` stands for
the node's own name. A name with a leading slash is the same in every namespace; any other one gets
the namespace of the node. Rename any of them as in all of ROS: `--ros-args -r e_stop:=stop_all`.

The **sensor topics** and the **command topic** are those of the [robot file](robot_file.md)
(`topics`, `action.topic`), with their types. Where a [parameter](node_parameters.md) of the node
decides, the row names it.

Quality of service: reliability, durability, depth of the queue. *Transient local* means that who
comes late still gets the last messages. Parameters `qos_overrides` change that of sensor topics
and command topic.

Every node is a lifecycle node. It has the services of one, parameters, `/rosout` and the like
beside what is listed here.
"""
STATS = """
## ~/stats

A row of numbers (std_msgs/msg/Float64MultiArray) for each control step of controller_node and
collector_node, in this order; the labels of its dimensions have the names. All but `stamp` are
topics of their own too, such as `~/stats/plan_s`.

"""
DIAGNOSTICS = """
## /diagnostics

The status of a node is called `NODE: NAME`. Level and message say the worst in a sentence. The
keys are below, by NAME. What messages mean: [Troubleshooting](../troubleshooting.md).
"""


def problems(notes: Notes) -> Iterator[str]:
    """Yield what a table says nothing of, and what it says of nothing."""
    for node, keys in told.NODES.items():
        known = {f'{each.direction} {each.name}' for each in notes.endpoints[node]}
        for key in keys:
            if not {key, key.replace(' ', ' /', 1)} & known and (node, key) not in told.UNSEEN:
                yield f'{node} has no {key!r}'
    for title, keys in notes.diagnostics.items():
        patterns = [_pattern(key) for key in told.DIAGNOSTICS.get(title, ())]
        yield from (
            f'{key!r} of the status {title!r} has no meaning'
            for key in sorted(keys)
            if not any(re.fullmatch(pattern, key) for pattern in patterns)
        )


def _pattern(key: str) -> str:
    """Return a regular expression; <a, b> is one of these, <name> any word but nothing alone."""
    if re.fullmatch('<.+>', key):
        return 'nothing'
    parts = re.split('<(.+?)>', key)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [f'({part.replace(", ", "|")})' if ',' in part else '.+' for part in parts[1::2]]
    return ''.join(parts)


def meaning(node: str, direction: str, name: str) -> tuple[str, str]:
    """Return a name as the table has it, and what it is for; LookupError if it has it not.

    Some nodes name a topic in full where others do not.
    """
    for known in (told.NODES[node], told.COMMON):
        for shown in (name, name.removeprefix('/')):
            if f'{direction} {shown}' in known:
                return shown, known[f'{direction} {shown}']
    raise LookupError(f'benchmarks/topic_meanings.py: {node} {direction} {name}, what for?')


def page(endpoints: Mapping[str, set[Endpoint]]) -> str:
    """Return the page."""
    parts = [HEAD.format(note=NOTE)]
    parts += [f'\n## {node}\n\n{_table_of(node, endpoints[node])}' for node in told.NODES]
    head = ['number', 'meaning']
    parts.append(STATS + table(head, ([code(k), v] for k, v in told.STATS.items())))
    parts.append(DIAGNOSTICS)
    for title, keys in told.DIAGNOSTICS.items():
        rows = ([code(key), text] for key, text in keys.items())
        parts.append(f'\n### {title}\n\n{table(["key", "meaning"], rows)}')
    return ''.join(parts)


def _table_of(node: str, found: Iterable[Endpoint]) -> str:
    rows: dict[tuple[int, str], list[set[str]]] = {}
    unseen = [Endpoint(*key.split(' ', 1), *kind) for (at, key), kind in told.UNSEEN.items()
              if at == node]  # fmt: skip
    for each in (*found, *unseen):
        name, text = meaning(node, each.direction, each.name)
        kinds, qualities, _ = rows.setdefault(
            (ORDER.index(each.direction), name), [set(), set(), {text}]
        )
        kinds.add(each.type)
        qualities.add(each.qos)
    return table(['', 'name', 'type', 'quality of service', 'meaning'], (
        [ORDER[place], _cell(name), _type_cell(name, kinds), '; '.join(sorted(qualities)), *text]
        for (place, name), (kinds, qualities, text) in sorted(rows.items())
    ))  # fmt: skip


def _cell(name: str) -> str:
    return name if name in (told.SENSORS, told.COMMANDS) else code(name)


def _type_cell(name: str, kinds: Iterable[str]) -> str:
    return (
        'of the robot file' if name in (told.SENSORS, told.COMMANDS) else ', '.join(sorted(kinds))
    )


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as made:
        seen = observe(Path(made)).notes
    wrong = [*problems(seen)]
    if wrong:
        raise SystemExit('\n'.join(wrong))
    PAGE.write_text(page(seen.endpoints))
    print(PAGE)
