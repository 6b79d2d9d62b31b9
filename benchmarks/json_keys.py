# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What commands write with --json: docs/reference/json.md says it, tests hold real output to it.

A key is reached by the ones around it: `tests.<test>.mean`. `<name>` stands for names that depend
on the run, `[]` for each entry of a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

TEXT, NUMBER, WHOLE, MAYBE = 'text', 'number', 'whole number', 'number or null'
NUMBERS, WHOLES, TEXTS = 'list of number', 'list of whole number', 'list of text'


class Key(NamedTuple):
    """optional: whether it may be missing; the meaning says when."""

    type: str
    meaning: str
    optional: bool = False


_HEAD = {
    'bundle': Key(TEXT, 'as it was named'),
    'algorithm': Key(TEXT, 'that trained it'),
}
_ADAPTATION = {'adaptation': Key(TEXT, '`--adaptation`')}
_TASK = {'task': Key(TEXT, 'its name'), 'seed': Key(WHOLE, '`--seed`')}
_PLANNER = Key('number, text or null', 'its settings, see [Planners](planners.md)')
# At the top, or for each test of tasks that have some.
_ROLLED = {
    name: key._replace(optional=True)
    for name, key in {
        'return_mean': Key(NUMBER, 'over episodes'),
        'return_std': Key(NUMBER, 'standard deviation over episodes'),
        'returns': Key(NUMBERS, 'of each episode'),
        'ended_early': Key(WHOLE, 'episodes that did'),
        'horizons': Key(
            WHOLES, 'steps ahead; this and the next two only where a run has models', True
        ),
        'model_errors': Key(
            'list of list of number',
            'by model, for each of `horizons`: root mean square error in standard deviations '
            'of the states',
        ),
        'disagreement': Key(NUMBERS, 'for each of `horizons`: of the models with their mean'),
    }.items()
}


def _of_parts(key: str, kind: str, meaning: str) -> dict[str, Key]:
    """Return a key for whole episodes, and for their parts before and after the failure."""
    parts = {'': 'in all', '_before': 'before the failure', '_after': 'from it on'}
    return {f'{key}{part}': Key(kind, f'{meaning}; {text}') for part, text in parts.items()}


def _losses(part: str, meaning: str) -> dict[str, Key]:
    return {
        f'loss_before{part}': Key(MAYBE, f'prediction error before adapting, {meaning}'),
        f'loss_after{part}': Key(MAYBE, f'after adapting, {meaning}'),
        f'ratio{part}': Key(MAYBE, f'the second over the first, {meaning}'),
    }


def _inside(prefix: str, keys: dict[str, Key]) -> dict[str, Key]:
    return {f'{prefix}.{name}': key for name, key in keys.items()}


_TEST = (
    {'steps': Key(WHOLE, 'of an episode')}
    | _of_parts('returns', NUMBERS, 'return of each episode')
    | _of_parts('mean', NUMBER, 'mean over episodes')
    | _of_parts('std_over_episodes', MAYBE, 'their standard deviation; null of one episode')
    | {
        'ended_early': Key(WHOLE, 'episodes that did'),
        'steps_done': Key(WHOLES, 'of each episode'),
    }
    | _losses('', 'over all windows; null where no episode holds one')
    | _losses('_after_failure', 'over windows after the failure')
    | {
        'adaptations_accepted': Key(WHOLE, 'steps at which adapting changed the model'),
        'adaptations_refused': Key(WHOLE, 'and at which it was refused'),
        'failure_step': Key(MAYBE, 'when something breaks in mid-run; null where nothing does'),
        'returns_fallback': Key(NUMBERS, 'of a robot that does nothing, at most 3 episodes'),
        'mean_fallback': Key(NUMBER, 'their mean'),
        'verdicts': Key(TEXTS, 'the lines that are printed below the table'),
    }
)
_PER_SEED = {
    'return': Key(NUMBERS, 'of the run'),
    'return_before': Key(NUMBERS, 'until the failure'),
    'return_after': Key(NUMBERS, 'from it on'),
    'loss_before': Key('list of number or null', 'error before adapting, after the failure'),
    'loss_after': Key('list of number or null', 'and after adapting'),
    'steps_without_state': Key(WHOLES, 'of which the recording holds no state'),
    'distance_m': Key(NUMBERS, 'how far it came [m]'),
    'from_goal_before_cm': Key(NUMBERS, 'of the hand, at the failure; `pr2_left_arm`', True),
    'from_goal_final_cm': Key(NUMBERS, 'mean of the last second; `pr2_left_arm`', True),
    'cost_<when>': Key(NUMBERS, '`before` and `after` the failure: minus the reward of a step, as '
                       'the next two of robots that follow a path', True),
    'from_path_<when>_m': Key(NUMBERS, 'mean distance from the path [m]', True),
    'heading_error_<when>_rad': Key(NUMBERS, 'mean angle to the path [rad]', True),
    'tick_ms.median': Key(NUMBERS, 'duration of a control step [ms]'),
    'tick_ms.p99': Key(NUMBERS, '99 % are shorter [ms]'),
    'seeds': Key(WHOLES, 'of these runs, in the order of the lists'),
}  # fmt: skip

SECTIONS: dict[str, dict[str, Key]] = {
    'evaluate, a model': _HEAD | _ADAPTATION | _TASK | {
        'planner.<setting>': _PLANNER,
        'precision': Key(TEXT, 'of plans'),
    } | _inside('tests.<test>', _TEST),
    'evaluate --data': _HEAD | _ADAPTATION | {
        'data': Key(TEXT, '`--data`'),
        'loss_before': Key(NUMBER, 'prediction error before adapting, over all windows'),
        'loss_after': Key(NUMBER, 'after adapting'),
        'loss_no_change': Key(NUMBER, 'of predicting that nothing changes'),
        'ratio': Key(NUMBER, '`loss_after` over `loss_before`'),
        'std_over_trajectories': Key(MAYBE, 'of `loss_after`; null of one trajectory'),
        'windows': Key(WHOLE, 'that were predicted'),
        'trajectories': Key(WHOLE, 'that hold a window'),
        'errors.<channel>.unit': Key(TEXT, 'of the channel'),
        'errors.<channel>.<steps>.before': Key(NUMBER, 'root mean square error so many steps '
                                               'ahead, in the unit'),
        'errors.<channel>.<steps>.after': Key(NUMBER, 'after adapting'),
        'errors.<channel>.<steps>.no_change': Key(NUMBER, 'of predicting that nothing changes'),
    },
    'evaluate, a meta-learned policy': _HEAD | _TASK | {
        'tasks': Key(WHOLE, 'goals that were drawn'),
        'tests.<test>.rollouts': Key(WHOLES, 'how many a policy has seen of a goal'),
        'tests.<test>.return_mean': Key(NUMBERS, 'after so many, over goals'),
        'tests.<test>.return_std_over_tasks': Key(NUMBERS, 'how much goals differ'),
        'tests.<test>.return_worst_task': Key(NUMBERS, 'of the worst goal'),
        'tests.<test>.gain': Key(NUMBER, 'last of `return_mean` minus the first'),
    },
    'evaluate, a policy for one task': _HEAD | _TASK | {
        'planner': Key('null', 'where the policy acts, without `--planner`', True),
        'planner.<setting>': _PLANNER._replace(optional=True),
    } | _ROLLED | _inside('tests.<test>', _ROLLED),
    'shadow': {
        'bundle': _HEAD['bundle'],
        'task': _TASK['task'],
        'steps': Key(WHOLE, 'control steps'),
        'steps_with_window': Key(WHOLE, 'of them, with the transitions that a window needs'),
        'loss_trained': Key(MAYBE, 'error of the next step, by the model as trained'),
        'loss_adapted': Key(MAYBE, 'as adapted'),
        'loss_no_change': Key(MAYBE, 'of predicting that nothing changes'),
        'adapted_share': Key(NUMBER, 'of steps at which adapting changed the model'),
        'tick_ms.median': Key(NUMBER, 'duration of a control step [ms]'),
        'tick_ms.p99': Key(NUMBER, '99 % are shorter [ms]'),
        'tick_ms.late_share': Key(NUMBER, 'longer than a period'),
        'commands.<joint>.recorded_mean': Key(NUMBER, 'in the unit of the robot file'),
        'commands.<joint>.proposed_mean': Key(NUMBER, 'what the bundle would have sent'),
        'commands.<joint>.rms_difference': Key(NUMBER, 'of both'),
        'commands.<joint>.correlation': Key(MAYBE, 'of both, -1 to 1; null where one never '
                                            'changes'),
    },
    'demo': {
        'task': _TASK['task'],
        'seeds': Key(WHOLES, 'of all runs'),
        'steps': Key(WHOLE, 'of a run'),
        'failure_step': Key(WHOLE, 'at which it breaks'),
        'failure': Key(TEXT, 'what breaks'),
        'missing.<run>': Key(TEXT, 'why it failed; of runs that did', True),
    } | _inside('controllers.<controller>', _PER_SEED),
    'demo --learn': {
        'task': _TASK['task'],
        'robot_min': Key(NUMBER, 'time of the robot [min]'),
        'first_cm': Key(NUMBER, 'from the goal over the last second of the first episode [cm]'),
        'last_cm': Key(NUMBER, 'and of the last episode [cm]'),
        'near_after_min': Key(MAYBE, 'time from which on all episodes ended near the goal; null: '
                              'never'),
    },
    'check': {
        'file': Key(TEXT, 'that was checked'),
        'mistakes[].line': Key(WHOLE, 'of the file', True),
        'mistakes[].place': Key(TEXT, 'the key, with those around it', True),
        'mistakes[].text': Key(TEXT, 'what is wrong', True),
        'robot': Key('null', 'where the file could not be understood', True),
        'robot.name': Key(TEXT, 'of the robot', True),
        'robot.rate_hz': Key(NUMBER, 'control steps per second', True),
        'robot.state': Key(TEXTS, 'names of the channels', True),
        'robot.action': Key(TEXTS, 'names of the joints', True),
        'robot.topics.<topic>': Key(TEXT, 'message type of what it listens to', True),
        'robot.command.<topic>': Key(TEXT, 'message type of what it sends', True),
        'robot.tasks': Key(TEXTS, 'of the file', True),
        'robot.doubts': Key(TEXTS, 'what is no mistake but may not be meant', True),
    },
    'settings': {
        'algorithm': Key(TEXT, 'its name'),
        'settings[].name': Key(TEXT, 'as for `--set`'),
        'settings[].type': Key(TEXT, 'in words'),
        'settings[].default': Key(TEXT, 'as JSON; `(required)` or `(see meaning)`'),
        'settings[].bounds': Key(TEXT, 'empty if there are none'),
        'settings[].meaning': Key(TEXT, 'in a sentence'),
        'settings[].section': Key(TEXT, 'of the paper; empty if it is not from there'),
        'settings[].part': Key(TEXT, 'what it belongs to'),
    },
}  # fmt: skip


def misfits(section: str, data: Any) -> Iterator[str]:
    """Yield where output and table differ: unknown keys, other types, keys that are missing."""
    told, met = SECTIONS[section], set()
    for path, value in _leaves('', data):
        name = next((name for name in told if re.fullmatch(_pattern(name), path)), None)
        if name is None:
            yield f'{section}: {path} has no meaning'
            continue
        met.add(name)
        if not fits(told[name].type, value):
            yield f'{section}: {path} is no {told[name].type}: {value!r}'
    yield from (
        f'{section}: there is no {name}'
        for name, key in told.items()
        if name not in met and not key.optional
    )


def fits(kind: str, value: Any) -> bool:
    """Whether a value is of a type in words."""
    if kind.startswith('list of '):
        inner = kind.removeprefix('list of ')
        return isinstance(value, list) and all(fits(inner, each) for each in value)
    types = {'text': str, 'whole number': int, 'number': (int, float), 'null': type(None)}
    return any(isinstance(value, types[word]) for word in re.split(', | or ', kind))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield all values that are no mappings, and no lists of such, with their paths."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f'{path}.{key}' if path else key, inner)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from _leaves(f'{path}[]', inner)
    elif not (isinstance(value, list) and not value and path == 'mistakes'):
        yield path, value


def _pattern(name: str) -> str:
    parts = re.split('<.+?>', name)
    return '.+'.join(map(re.escape, parts))
