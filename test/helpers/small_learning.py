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


def parameters(algorithm: str, out: Path, **changes: Any) -> dict[str, Any]:
    """Return what all three nodes have in common."""
    values = SMALL | OWN[algorithm] | changes
    settings = [f'{name}={value}' for name, value in values.items()]
    return {'algorithm': algorithm, 'task': TASK, 'out': str(out), 'settings': settings}
