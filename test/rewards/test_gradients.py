# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whoever differentiates through rewards finds a finite gradient wherever a robot may be."""

import pytest
import torch

from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.task import Task
from mbmrl_ros.envs.tasks import POLICY_TASKS, TASKS
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.spec.robot import load_robot

ALL = TASKS | POLICY_TASKS
COUNT = 200


def reward_and_sizes(name: str):
    """Return a task's reward, its state and action sizes, and what its goals are drawn by."""
    task = ALL[name]
    if isinstance(task, MetaTask):
        system = task.system(1, 1, 1)
        return task.reward, system.state_size, system.action_size, task.goals
    spec = load_robot(task.robot)
    reward = build_reward(spec, task.reward, task.goals.names)
    return reward, spec.state_size, spec.action_size, task.goals


def corners(name: str, size: int) -> torch.Tensor:
    """Return states where a square root or an angle would have no derivative: at targets, at 0."""
    task = ALL[name]
    states = [torch.zeros(size)]
    if isinstance(task, Task):
        spec = load_robot(task.robot)
        for term in task.reward:
            at = torch.zeros(size)
            for channel, value in (getattr(term, 'target', None) or {}).items():
                at[spec.channel_index(channel)] = value
            states.append(at)
    return torch.stack(states)


@pytest.mark.parametrize('name', ALL)
def test_gradients_are_finite_everywhere(name):
    reward, size, actions, goals = reward_and_sizes(name)
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([1e-3, 1.0, 1e3]).repeat_interleave(COUNT)[:, None]
    special = corners(name, size)
    states = torch.cat([scales * torch.randn(3 * COUNT, size, generator=generator), special])
    moved = states + 0.1 * torch.randn(states.shape, generator=generator)
    # Some did not move at all, those at the corners among them.
    moved[::5], moved[-len(special) :] = states[::5], special
    taken = torch.rand(len(states), actions, generator=generator) * 2 - 1
    taken[::3], taken[1::7] = 0.0, 1.0
    goal = goals.draw(generator, len(states))
    inputs = [tensor.requires_grad_() for tensor in (states, taken, moved)]
    earned = reward(*inputs, goal) if goals.names or name in POLICY_TASKS else reward(*inputs)
    assert earned.isfinite().all()
    gradients = torch.autograd.grad(
        earned.sum(), inputs, allow_unused=True, materialize_grads=True
    )
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
