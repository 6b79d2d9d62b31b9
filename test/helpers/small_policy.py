# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policies that are small and untrained, as bundles."""

from typing import Any

import torch

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.bundles.files import robot_section
from mbmrl_ros.bundles.policy import PolicyBundle, PolicyInfo, build_policy
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.spec.robot import load_robot

TASK = 'half_cheetah/forward_backward'
SMALL = {'rollouts': 3, 'horizon': 5}


def small_policy(algorithm: str, **training: Any) -> PolicyBundle:
    """Return an untrained policy for the task of the half-cheetah; training: its settings."""
    task = load_meta_task(TASK)
    spec = load_robot(task.robot)
    network: dict[str, Any] = {'hidden_sizes': (8,)}
    inputs = len(spec.input_indices)
    if algorithm == 'rl2':
        training = {'units': 8, 'rollouts': 1} | training
        network['cell'] = training.get('cell', 'gru')
        inputs += spec.action_size + 2
    else:
        training = {'hidden_sizes': [8]} | training
    config = ALGORITHMS[algorithm].Config(**SMALL | training)
    info = PolicyInfo(
        algorithm=algorithm,
        task=TASK,
        training=config.model_dump(mode='json'),
        metrics={},
        observation_size=inputs,
        action_size=spec.action_size,
        action_scale=task.action_scale,
        min_std=1e-6,
        **robot_section(spec),
        **network,
    )
    params = build_policy(info).init(torch.Generator().manual_seed(0))
    return PolicyBundle(info, {f'params/{name}': value for name, value in params.items()})
