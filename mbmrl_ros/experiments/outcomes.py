# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The file of a job's result: whether it is there, and how it is made."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path
from typing import Any

import torch

from mbmrl_ros.bench.compare import conditions
from mbmrl_ros.config import UserError, current_names, write_text
from mbmrl_ros.evaluation.episodes import finite
from mbmrl_ros.experiments.jobs import Job, Training, record_of
from mbmrl_ros.experiments.studies import slug
from mbmrl_ros.system.outputs import reason
from mbmrl_ros.training.run import present_settings, same_setting


def finished(job: Job, out: Path) -> bool:
    """Whether there is a result; UserError if it was made with other settings.

    A training may go on for more iterations than it had.
    """
    path = out / job.work.path
    try:
        found = _by_name(_of_now(json.loads(path.read_text())['settings']))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f'{path} cannot be read ({error}); remove it to make it again') from error
    wanted = _by_name(job.settings)
    other = [
        name
        for name in sorted(found.keys() | wanted.keys())
        if not same_setting(name, found.get(name), wanted.get(name))
    ]
    if isinstance(job.work, Training) and other == ['config.iterations']:
        return False
    if other:
        raise UserError(
            f'{path} was made with other settings ({other[0]} was '
            f'{found.get(other[0])}, is {wanted.get(other[0])} now); '
            'choose another --out, or remove it to make it again'
        )
    return True


def _of_now(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings that an older version may have written, as this one writes them."""
    inner = {key: _of_now(value) for key, value in settings.items() if isinstance(value, dict)}
    result = settings | inner
    if 'config' in result:
        record = record_of(result['algorithm'])
        result['config'] = present_settings(record, result['config'])
    if 'at_test' in result:
        result['at_test'] = current_names(record_of('grbal'), result['at_test'])
    return result


def _by_name(settings: Any, name: str = '') -> dict[str, Any]:
    """Return settings without groups, by names with dots."""
    if not isinstance(settings, dict):
        return {name: settings}
    prefix = f'{name}.' if name else ''
    parts = [_by_name(value, f'{prefix}{key}') for key, value in settings.items()]
    return {key: value for part in parts for key, value in part.items()}


def in_a_line(result: dict[str, Any]) -> str:
    """Return a result in a line of progress."""
    if 'returns' not in result:
        numbers = {key: value for key, value in result.items() if isinstance(value, int | float)}
        return ', '.join(f'{key} {value:.4g}' for key, value in numbers.items()) or 'measured'
    text = f'return {result["mean"]:.1f}, SD of episodes {result["std_over_episodes"]:.1f}'
    if result['ended_early']:
        text += f', {result["ended_early"]} ended early'
    if 'loss_after' in result:
        text += f', error {result["loss_before"]:.4f} before, {result["loss_after"]:.4f} after'
    return text


def log_of(job: Job, out: Path) -> Path:
    """Return the file of what a job prints."""
    return out / 'logs' / f'{slug(str(job.work.path.with_suffix("")))}.log'


def do(job: Job, out: Path) -> dict[str, Any]:
    """Do one job, write its result, and return it."""
    started = time.monotonic()
    result = job.do(job.work, out)
    machine = conditions(torch.device('cpu'), 1)
    del machine['repetitions']
    text = json.dumps(
        {
            'command': job.command,
            'date': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d'),
            'machine': machine,
            'duration_s': round(time.monotonic() - started, 1),
            'seed': (job.settings.get('training') or job.settings)['seed'],
            'settings': job.settings,
            'result': finite(result),
        },
        indent=1,
    )
    path = out / job.work.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'cannot write {path}: {reason(error)}') from error
    write_text(path, text + '\n')
    return result
