# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/reference, from the code; benchmarks/reference.py writes them."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reference_formats import format_pages
from reference_tables import code, sections, settings_table, table

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.bundles.files import bundle_names, find_bundle, read_head
from mbmrl_ros.cli.parser import make_parser
from mbmrl_ros.cli.settings import Setting, rows_of
from mbmrl_ros.nodes.common import settings as nodes
from mbmrl_ros.nodes.learners import settings as learners
from mbmrl_ros.planners.kinds import CONFIGS
from mbmrl_ros.rewards.path import SHAPES
from mbmrl_ros.rewards.terms import GOAL_TERMS, TERMS
from mbmrl_ros.sim.disturbances import KINDS
from mbmrl_ros.spec.robot import RobotSpec, load_robot, robot_names

NOTE = '<!-- python benchmarks/reference.py writes this page from the code -->\n'
NODES = {
    'controller_node': nodes.ControllerSettings,
    'sim_node': nodes.SimSettings,
    'command_gate': nodes.GateSettings,
    'recorder_node': nodes.RecorderSettings,
    'player_node': nodes.PlayerSettings,
    'trainer_node': learners.TrainerSettings,
    'collector_node': learners.CollectorSettings,
    'model_learner_node': learners.LearnerSettings,
    'policy_learner_node': learners.LearnerSettings,
}
# Defaults of arguments that say nothing.
UNSAID = (None, False, [], argparse.SUPPRESS)
EDITOR = """
## In your editor

An editor that knows YAML schemas completes the keys and marks mistakes. With the YAML language
server (VS Code, Neovim, Emacs), make this the first line of your file:

    # yaml-language-server: $schema=PREFIX/share/mbmrl_ros/config/schemas/{0}.schema.json

In a checkout the file is `config/schemas/{0}.schema.json`.
"""
SETTINGS = """# Settings of {0}

{0}: {1}. `mbmrl settings {0}` prints the same. Change one by `mbmrl train {0} --set NAME=VALUE`,
or in a file for `--config`. These are the algorithm's defaults; the recipe of a task
(`config/training`) changes some.
"""
ROBOT = """# Robot file

One YAML file says everything that the package knows about a robot. [What each section is
for](../robots/file.md), and [an example](../robots.md). `name[]` is an entry of a list, `.<name>`
one of a mapping with names of your own. A file may begin with `extends: FILE`, and then has only
what it changes.
"""
PARAMETERS = """# Parameters of the nodes

Set one by `--ros-args -p NAME:=VALUE`, by `--params-file`, or while the node runs by
`ros2 param set`, where the node takes it then.
"""
PLANNERS = """# Planners

Of a training: `--set planner.kind=cem --set planner.candidates=500` (while it collects), and
`control_planner` (on the robot). Of the controller: `-p planner.kind:=cem`.
"""
REWARDS = """# Reward terms

A reward is a sum of terms, each with a `weight` (1 by default; negative for a cost). In a robot
file:

    reward: [{term: forward_velocity, channel: x}, {term: action_squared, weight: -0.05}]

"""
GOALS = """
## Terms with a goal

For [tasks of policies](lists.md): `goal` names one of the task's `goals`, which are drawn anew for
each task.

"""
DISTURBANCES = """# Disturbances

What can happen to a simulated robot. Written `kind:target` or `kind:target:value`, as in
`disabled_joint:bthigh` or `slope:x:12.5`, in tasks and in `schedule` of
[sim_node](node_parameters.md); each is a service of the simulator too. The usual value
counts where you name none. Targets are those of the first robot of the row.

"""
LISTS = """# Algorithms, tasks, robots, bundles

`mbmrl algorithms`, `mbmrl tasks`, `mbmrl robots` and `mbmrl bundles` print the same.
"""
COMMANDS = """# Command line

`mbmrl COMMAND --help` says the same. Wrong input is answered by one line and exit code 2; Ctrl-C
ends with 130, SIGTERM with 143.
"""


def pages(lists: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the pages by name. lists: what the command line lists."""
    written = {
        'lists': _lists_page(lists),
        'command_line': _command_line_page(),
        'robot_file': _robot_page(),
        'node_parameters': PARAMETERS + sections(NODES),
        'planners': PLANNERS + sections(CONFIGS),
        'rewards': _rewards_page(),
        'disturbances': _disturbances_page(),
    }
    written |= {f'settings/{name}': _settings_page(name) for name in ALGORITHMS}
    written |= format_pages()
    # Behind the heading, which is the page's title where it comes first.
    return {name: text.replace('\n', f'\n\n{NOTE}', 1) for name, text in written.items()}


def _settings_page(name: str) -> str:
    algorithm = ALGORITHMS[name]
    rows = list(rows_of(algorithm.Config))
    parts = ''.join(
        f'\n## {part}\n\n{settings_table(row for row in rows if row.part == part)}'
        for part in dict.fromkeys(row.part for row in rows)
    )
    head = SETTINGS.format(name, algorithm.summary)
    return head + parts + EDITOR.format(f'settings/{name}')


def _robot_page() -> str:
    parts: dict[str, list[Setting]] = {'The robot': []}
    rows = list(rows_of(RobotSpec))
    groups = [re.split(r'[.\[]', row.name)[0] for row in rows]
    for group, row in zip(groups, rows):
        parts.setdefault(group if groups.count(group) > 1 else 'The robot', []).append(row)
    text = ''.join(f'\n## {name}\n\n{settings_table(part)}' for name, part in parts.items())
    return ROBOT + text + EDITOR.format('robot')


def _rewards_page() -> str:
    head = ['term', 'takes', 'is']
    rows = [_term(name, build, []) for name, build in TERMS.items()]
    with_goal = [_term(name, build, ['goal']) for name, build in GOAL_TERMS.items()]
    shapes = ', '.join(map(code, SHAPES))
    paths = f'\n`path` is one of {shapes}, or a list of way-points in metres.\n'
    return REWARDS + table(head, rows) + paths + GOALS + table(head, with_goal)


def _term(name: str, build: Callable[..., Any], more: list[str]) -> list[str]:
    takes = [each for each in inspect.signature(build).parameters if each != 'spec'] + more
    about = (inspect.getdoc(build) or '').split('\n')[0]
    return [code(name), ', '.join(map(code, takes)) or '-', about]


def _disturbances_page() -> str:
    specs = [spec for spec in map(load_robot, robot_names()) if spec.simulation]
    rows = []
    for name, kind in KINDS.items():
        able = [spec for spec in specs if kind.targets(spec)]
        low, high = kind.values
        taken = [f'{low:g} to {high:g}', f'{kind.usual:g}'] if low < high else ['none', '-']
        targets = [code(target) for target in kind.targets(able[0])] if able else []
        shown = ', '.join([*targets[:4], *(['...'] if targets[4:] else [])])
        rows.append([code(name), *taken, shown, ', '.join(spec.name for spec in able)])
    return DISTURBANCES + table(['kind', 'value', 'usual', 'targets', 'robots'], rows)


def _lists_page(lists: Mapping[str, Mapping[str, str]]) -> str:
    heads = {name: read_head(find_bundle(name)) for name in bundle_names()}
    tables = {
        'Algorithms': [
            [f'[{name}](settings/{name}.md)', about] for name, about in lists['algorithms'].items()
        ],
        'Tasks': [[code(name), about] for name, about in lists['tasks'].items()],
        'Robots': [[code(name), about] for name, about in lists['robots'].items()],
        'Bundles': [
            [code(name), f'{head.algorithm} for {head.task}'] for name, head in heads.items()
        ],
    }
    return LISTS + ''.join(
        f'\n## {title}\n\n{table(["name", "what it is"], rows)}' for title, rows in tables.items()
    )


def _command_line_page() -> str:
    return COMMANDS + ''.join(
        f'\n## mbmrl {name}\n\n{about}\n\n{_options(parser)}'
        for name, about, parser in commands(make_parser())
    )


def commands(
    parser: argparse.ArgumentParser, above: str = ''
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield all commands, with what they do."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        helps = {each.dest: each.help or '' for each in action._choices_actions}
        for name, inner in action.choices.items():
            yield f'{above}{name}', f'{helps[name][:1].upper()}{helps[name][1:]}.', inner
            yield from commands(inner, f'{above}{name} ')


def _options(parser: argparse.ArgumentParser) -> str:
    """Return the arguments of a command as a table; a hint where it has none."""
    if not parser.add_help:
        return 'Takes `--ros-args`: [parameters of the nodes](node_parameters.md).\n'
    rows = []
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            continue
        name = ', '.join(action.option_strings) or str(action.metavar or action.dest)
        usual = '' if action.default in UNSAID else str(action.default)
        meaning = (action.help or '').removesuffix(f'({usual})').rstrip()
        rows.append([code(name), code(usual) if usual else '', meaning])
    return table(['argument', 'default', 'meaning'], rows) if rows else 'Takes no arguments.\n'
