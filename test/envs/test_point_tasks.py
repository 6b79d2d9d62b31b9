# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Points: how they move, and what they earn, by hand."""

import math

import pytest
import torch

from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.point_tasks import BETWEEN, CORNERS
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig


def reward(name: str, before, after, goal) -> float:
    tensors = [torch.tensor(value, dtype=torch.float64) for value in (before, after, goal)]
    return float(load_meta_task(name).reward(tensors[0], torch.zeros(2), *tensors[1:]))


@pytest.mark.parametrize(
    ('name', 'before', 'after', 'goal', 'expected'),
    [
        # From a distance of 1.5 to one of 1 on the diagonal of the corner.
        ('point/corner', (2 - 1.5, 2), (1, 2), (2, 2), 0.5),
        ('point/corner', (1, 2), (0.5, 2), (2, 2), -0.5),
        # Another corner is nearer; near the middle nothing is felt.
        ('point/corner', (-0.5, 2), (-0.4, 2), (2, 2), 0.0),
        ('point/corner', (0.1, 0.1), (0.2, 0.2), (2, 2), 0.0),
        # At a distance of 5 / 4 of it, and too far away.
        ('point/momentum', (0, 0, 0, 0), (1.25, 1, 9, 9), (2, 2), 0.75),
        ('point/momentum', (0, 0, 0, 0), (0, 0, 2, 2), (2, 2), 0.0),
        ('point/navigation', (0, 0), (0.3, 0.0), (0.0, 0.4), -0.25),
        ('point/line', (0.0,), (2.0,), (1.0,), math.exp(-0.1)),
        ('point/line', (0.0,), (-1.0,), (-1.0,), 1.0),
    ],
)
def test_rewards_are_what_their_formulas_give_by_hand(name, before, after, goal, expected):
    assert reward(name, before, after, goal) == pytest.approx(expected, abs=1e-9)


def step(name: str, action, state, **config) -> torch.Tensor:
    """Return the state [S] that one point goes to by an action of -1..1."""
    env = MetaTaskEnv(load_meta_task(name), 1, 1, SamplingConfig(action_scale=1.0, **config))
    goals = env.sample_goals(torch.Generator().manual_seed(0), 1)
    env.reset(goals, torch.Generator().manual_seed(0))
    env.system.state = torch.tensor([state], dtype=torch.float64)
    return env.step(torch.tensor(action).reshape(1, 1, -1))[0][0, 0]


def test_points_move_by_displacement_push_or_jump_and_not_beyond_their_reach():
    for action, expected in (((0.5, -1.0), (0.1, -0.2)), ((7.0, 0.0), (0.2, 0.0))):
        torch.testing.assert_close(
            step('point/corner', action, (0.0, 0.0)), torch.tensor(expected)
        )
    # The push changes the velocity first, which then moves the point.
    moved = step('point/momentum', (1.0, 0.0), (1.0, 1.0, 0.05, 0.0))
    torch.testing.assert_close(moved, torch.tensor([1.15, 1.0, 0.15, 0.0]))
    torch.testing.assert_close(step('point/line', (-0.25,), (1.7,)), torch.tensor([-0.5]))


def test_starts_and_goals_are_the_papers():
    for name, widths in (('point/corner', [0.2, 0.2]), ('point/momentum', [0.2, 0.2, 0.1, 0.1]),
                         ('point/navigation', [0.0, 0.0]), ('point/line', [2.0])):  # fmt: skip
        task = load_meta_task(name)
        env = MetaTaskEnv(task, 4, 200)
        generator = torch.Generator().manual_seed(0)
        starts = env.reset(env.sample_goals(generator, 4), generator).flatten(0, 1)
        # Uniform: the largest of 800 is nearly the width.
        assert starts.abs().max(0).values.tolist() == pytest.approx(widths, rel=0.02)
        assert starts.mean(0).tolist() == pytest.approx([0] * len(widths), abs=0.2 * max(widths))
    goals = load_meta_task('point/corner').goals
    generator = torch.Generator().manual_seed(0)
    assert {tuple(goal) for goal in goals.draw(generator, 100).tolist()} == set(CORNERS)
    held_out = {tuple(goal) for goal in goals.held_out(generator, 100).tolist()}
    assert held_out == set(BETWEEN) and not held_out & set(CORNERS)


def test_the_toy_in_the_units_of_its_paper():
    # Its policy acts in -2..2, and the action is the next place.
    env = MetaTaskEnv(load_meta_task('point/line'), 2, 3)
    env.reset(torch.tensor([[1.0], [-1.0]]), torch.Generator().manual_seed(0))
    actions = torch.tensor([[[0.3], [-3.0], [1.0]], [[0.3], [-1.0], [2.0]]])
    places, rewards, done = env.step(actions)
    torch.testing.assert_close(places, actions.clamp(-2, 2))
    goals = torch.tensor([1.0, -1.0])[:, None]
    torch.testing.assert_close(rewards, (-0.1 * (places[..., 0] - goals).square()).exp())
    assert env.horizon == 5 and not done.any()
