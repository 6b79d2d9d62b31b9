# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What --help shows beside the arguments: commands by what they are for, and examples."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator
from typing import Any

from mbmrl_ros.system.endings import UserError

GROUPS = {
    'robots and tasks': ('robots', 'tasks', 'init', 'check'),
    'train and evaluate': (
        'algorithms', 'settings', 'train', 'evaluate', 'report', 'bundles', 'combine',
    ),
    'recordings': ('record', 'play', 'bag', 'shadow'),
    'a robot that runs': ('sim', 'control', 'gate', 'break', 'stop', 'key', 'security'),
    'look': ('demo', 'bench'),
    'experiments': ('experiments', 'experiment'),
}  # fmt: skip
"""Every command, once, by what it is for."""

EXAMPLES = {
    'robots': ('mbmrl robots', 'mbmrl robots --robot walker.yaml'),
    'tasks': ('mbmrl tasks', 'mbmrl tasks --robot walker.yaml'),
    'init': ('mbmrl init gymnasium/walker2d.xml --out walker.yaml', 'mbmrl init my_arm.urdf'),
    'check': ('mbmrl check walker.yaml',),
    'algorithms': ('mbmrl algorithms',),
    'settings': ('mbmrl settings grbal',),
    'train': (
        'mbmrl train mb --robot walker.yaml --task forward --out runs/walker',
        'mbmrl train grbal --data data --out runs/grbal --start-from runs/mb',
    ),
    'evaluate': (
        'mbmrl evaluate runs/walker --robot walker.yaml --episodes 2',
        'mbmrl evaluate runs/grbal --data other_data',
    ),
    'report': ('mbmrl report runs/walker', 'mbmrl report runs/mb runs/grbal'),
    'bundles': ('mbmrl bundles',),
    'combine': (
        'mbmrl combine runs/seed0 runs/seed1 --out bundles/ensemble',
        'mbmrl combine runs/mb --policy runs/maac --out bundles/both',
    ),
    'bag': ('mbmrl bag bags/ --robot millirobot --out data',),
    'shadow': ('mbmrl shadow bags/ --bundle millirobot/path/grbal',),
    'break': ('mbmrl break right_legs', 'mbmrl break --mend'),
    'stop': ('mbmrl stop', 'mbmrl stop --release'),
    'key': ('mbmrl key policies.key',),
    'security': ('mbmrl security --robot millirobot --out policy.xml',),
    'demo': ('mbmrl demo', 'mbmrl demo --robot half_cheetah --seeds 1'),
    'bench': ('mbmrl bench tick --candidates 1000',),
    'experiments': ('mbmrl experiments',),
    'experiment': ('mbmrl experiment generalisation --quick', 'mbmrl experiment all --dry-run'),
}
"""By command; the nodes list their parameters instead."""


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raise UserError, which the command line prints."""
        raise UserError(f'{message} (see {self.prog} --help)')

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        valid = [str(choice) for choice in action.choices]
        near = ''.join(
            f'did you mean {name!r}? ' for name in difflib.get_close_matches(str(value), valid, 1)
        )
        text = f'invalid choice {value!r}; {near}valid: {", ".join(valid)}'
        raise argparse.ArgumentError(action, text)


class Grouped(argparse.HelpFormatter):
    """Shows commands by what they are for."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        return ''.join(self._group(action))

    def _group(self, action: argparse._SubParsersAction[Any]) -> Iterator[str]:
        commands = {each.dest: each for each in action._choices_actions}
        # They stand deeper than argparse has reckoned with.
        self._action_max_length += self._indent_increment
        for title, names in GROUPS.items():
            yield f'\n{" " * self._current_indent}{title}:\n'
            self._indent()
            yield from [super(Grouped, self)._format_action(commands[name]) for name in names]
            self._dedent()


def add_examples(commands: argparse._SubParsersAction[Any]) -> None:
    """Put the examples of each command below its arguments."""
    for name, lines in EXAMPLES.items():
        parser = commands.choices[name]
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = '\n  '.join(['examples:' if len(lines) > 1 else 'example:', *lines])
