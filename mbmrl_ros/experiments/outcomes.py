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
from mbmrl_ros.config import UserError, write_text
from mbmrl_ros.evaluation.episodes import finite
from mbmrl_ros.experiments.jobs import Job, Training
from mbmrl_ros.experiments.measure import perform
from mbmrl_ros.system.outputs import reason
from mbmrl_ros.training.run import same_setting
from mbmrl_ros.training.settings import ModelBasedConfig


def finished(job: Job, out: Path) -> bool:
    """Whether there is a result; UserError if it was made with other settings.

    A training may go on for more iterations than it had.
    """
    path = out / job.work.path
    try:
        found = json.loads(path.read_text())['settings']
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f'{path} cannot be read ({error}); remove it to make it again') from error
    other = _difference(_with_defaults(found), job.settings)
    if isinstance(job.work, Training) and other == ['config.iterations']:
        return False
    if other:
        raise UserError(
            f'{path} was made with other settings ({other[0]} was '
            f'{_at(found, other[0])}, is {_at(job.settings, other[0])} now); '
            'choose another --out, or remove it to make it again'
        )
    return True


def _with_defaults(found: Any) -> Any:
    """Fill in training settings that a result of an older version does not name."""
    if not isinstance(found, dict):
        return found
    filled = {key: _with_defaults(value) for key, value in found.items()}
    if 'config' in found:
        filled['config'] = ModelBasedConfig().model_dump(mode='json') | found['config']
    return filled


def _difference(found: Any, wanted: Any, name: str = '') -> list[str]:
    """Return the names of what differs in two settings, groups within groups by dots."""
    if not (isinstance(found, dict) and isinstance(wanted, dict)):
        return [] if same_setting(name, found, wanted) else [name]
    keys = sorted(set(found) | set(wanted))
    prefix = f'{name}.' if name else ''
    return [d for k in keys for d in _difference(found.get(k), wanted.get(k), prefix + k)]


def _at(settings: Any, name: str) -> Any:
    for key in name.split('.'):
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings


def in_a_line(result: dict[str, Any]) -> str:
    """Return a result in a line of progress."""
    if 'returns' not in result:
        return f'{result["environment_steps"]} steps'
    text = f'return {result["mean"]:.1f}, SD of episodes {result["std_over_episodes"]:.1f}'
    if result['ended_early']:
        text += f', {result["ended_early"]} ended early'
    if 'loss_after' in result:
        text += f', error {result["loss_before"]:.4f} before, {result["loss_after"]:.4f} after'
    return text


def do(job: Job, out: Path) -> dict[str, Any]:
    """Do one job, write its result, and return it."""
    started = time.monotonic()
    result = perform(job.work, out)
    machine = conditions(torch.device('cpu'), 1)
    del machine['repetitions']
    text = json.dumps(
        {
            'command': job.command,
            'date': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d'),
            'machine': machine,
            'duration_s': round(time.monotonic() - started, 1),
            'seed': job.settings.get('training', job.settings)['seed'],
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
