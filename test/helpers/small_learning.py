# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of nodes that learn the half-cheetah, so small that a step takes milliseconds."""

from pathlib import Path
from typing import Any

ROBOT, TASK = 'half_cheetah_20hz', 'half_cheetah/thesis'
HORIZON = 20
SMALL = {
    'horizon': HORIZON, 'members': 2, 'model_hidden_sizes': [16], 'batch_size': 32,
    'hidden_sizes': [8], 'buffer_size': 200,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    'mb_mpo': {'tasks': 2, 'rollouts': 2, 'curvature_every': 5},
    'me_trpo': {'imagined_rollouts': 4, 'imagined_horizon': 10, 'validation_rollouts': 2},
    'me_ppo': {'imagined_rollouts': 4},
    'bptt': {'imagined_rollouts': 4, 'imagined_horizon': 5, 'validation_rollouts': 2},
    'maac': {'model_rollouts': 8, 'update_batch_size': 8, 'actor_horizon': 2, 'critic_horizon': 2},
}

# Algorithms whose model is planned in, for a robot whose joints fail; a plan takes a millisecond.
MODEL_TASK, STEPS, PAST = 'half_cheetah/disabled_joint', 40, 6
PLANNER = '{candidates: 8, horizon: 3}'
MODEL = {
    'iterations': 1, 'rollouts': 2, 'rollout_steps': STEPS, 'past_steps': PAST,
    'future_steps': 4, 'hidden_sizes': [16], 'batch_size': 4, 'validation_fraction': 0.5,
    'planner': PLANNER, 'control_planner': PLANNER,
}  # fmt: skip


def model_parameters(out: Path, algorithm: str = 'grbal', **changes: Any) -> dict[str, Any]:
    """Return what both nodes have in common that learn a model and plan in it."""
    values = MODEL | ({'hidden_sizes': [8]} if algorithm == 'rebal' else {}) | changes
    settings = [f'{name}={value}' for name, value in values.items()]
    return {
        'algorithm': algorithm, 'task': MODEL_TASK, 'out': str(out), 'settings': settings,
    }  # fmt: skip


def parameters(algorithm: str, out: Path, **changes: Any) -> dict[str, Any]:
    """Return what all three nodes have in common."""
    values = SMALL | OWN[algorithm] | changes
    settings = [f'{name}={value}' for name, value in values.items()]
    return {'algorithm': algorithm, 'task': TASK, 'out': str(out), 'settings': settings}
