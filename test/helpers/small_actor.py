# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy that does always the same, with critics, as bundles of it are in a run folder."""

import math
from pathlib import Path

import torch

from mbmrl_ros.algorithms.maac import MAACConfig
from mbmrl_ros.bundles.actor import Actor, make_actor
from mbmrl_ros.bundles.files import robot_section, save_file
from mbmrl_ros.bundles.policy import PolicyBundle, PolicyInfo, build_policy, save_policy
from mbmrl_ros.networks.critic import Critic
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Params

HIDDEN, ACTION = (8,), 0.5


def steady_policy(spec: RobotSpec, task: str, **changes: object) -> PolicyBundle:
    """Return a policy of MAAC whose action is ACTION in every state."""
    info = PolicyInfo(
        algorithm='maac',
        task=task,
        training=MAACConfig().model_dump(mode='json'),
        metrics={},
        observation_size=len(spec.input_indices),
        action_size=spec.action_size,
        action_scale=1.0,
        min_std=math.exp(-5),
        squashed=True,
        hidden_sizes=HIDDEN,
        iteration=3,
        **robot_section(spec),
    ).model_copy(update=changes)
    params = build_policy(info).init(torch.Generator().manual_seed(0))
    if info.squashed:
        params['weight1'] *= 0
        params['bias1'][: spec.action_size] = math.atanh(ACTION)
    return PolicyBundle(info, {f'params/{name}': value for name, value in params.items()})


def drawn_critics(spec: RobotSpec, seed: int = 1) -> Params:
    """Return two critics that nobody has trained."""
    critic = Critic(len(spec.input_indices), spec.action_size, HIDDEN)
    return critic.init(torch.Generator().manual_seed(seed))


def steady_actor(spec: RobotSpec, task: str, value_weight: float = 1.0) -> Actor:
    """Return it as what proposes to a planner."""
    policy = steady_policy(spec, task)
    return make_actor(policy, drawn_critics(spec), spec.input_indices, value_weight)


def save_run(folder: Path, policy: PolicyBundle, critics: Params) -> Path:
    """Write what a run of MAAC leaves behind of its policy and critics."""
    save_policy(folder / 'bundle', policy)
    kept = {f'policy/critic/{name}': value for name, value in critics.items()}
    iteration = torch.tensor(policy.info.iteration)
    save_file(kept | {'iteration': iteration}, folder / 'checkpoint.safetensors')
    return folder
