# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes of a robot whose state counts its steps, and what of them is kept."""

import numpy as np
import pytest
import torch

from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.episode_driver import WAITING, EpisodeDriver
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Transitions

SPEC = load_robot('millirobot')
STATES, ACTIONS = SPEC.state_size, SPEC.action_size
HORIZON = 4


def state_at(step):
    return torch.full((1, STATES), float(step))


def policy(value):
    return lambda state: torch.full((1, ACTIONS), value)


class Robot:
    """Drives and is driven: its state is the number of steps it has made."""

    def __init__(self, done_at=1e9):
        self.pieces = []
        self.driver = EpisodeDriver(
            SPEC,
            HORIZON,
            lambda state: state[:, 0] >= done_at,
            policy(0.1),
            lambda piece, propose: self.pieces.append((piece, propose(None)[0, 0].item())),
        )
        self.step, self.action = 0, torch.zeros(1, ACTIONS)

    def tick(self, whole=True):
        """Make a step under the last action; whole: whether nothing is missing before it."""
        self.step += 1
        before = state_at(self.step - 1) if whole else state_at(torch.nan)
        window = Transitions(before[:, None], self.action[:, None], state_at(self.step)[:, None])
        attempted = torch.tensor([whole])
        decision = self.driver.act(window, attempted, state_at(self.step))
        self.action = decision.action.float()
        return decision

    def ticks(self, count):
        return [self.tick() for _ in range(count)]


def test_an_episode_has_as_many_steps_as_its_horizon_and_the_actions_that_were_applied():
    robot = Robot()
    robot.driver.begin()
    robot.ticks(HORIZON)
    assert not robot.pieces and not robot.driver.waiting
    decision = robot.tick()
    [(piece, _)] = robot.pieces
    assert piece.states[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert piece.actions == pytest.approx(torch.full((HORIZON, ACTIONS), 0.1))
    fallback = from_units(SPEC, np.asarray(SPEC.action.fallback))
    assert robot.driver.waiting and decision.mode == WAITING and bool(decision.valid)
    assert decision.action[0].tolist() == pytest.approx(list(fallback))
    robot.ticks(10)
    assert len(robot.pieces) == 1, 'between two episodes nothing is kept'


def test_a_newer_policy_counts_from_the_next_episode_on():
    robot = Robot()
    robot.driver.begin()
    robot.ticks(2)
    robot.driver.use(policy(0.7))
    robot.ticks(3)
    robot.driver.begin()
    robot.ticks(HORIZON + 1)
    assert [used for _, used in robot.pieces] == pytest.approx([0.1, 0.7])
    assert robot.pieces[1][0].actions[0, 0] == pytest.approx(0.7)


@pytest.mark.parametrize('gap', ['missing', 'disowned'])
def test_a_gap_parts_an_episode_into_pieces_that_are_true(gap):
    robot = Robot()
    robot.driver.begin()
    robot.ticks(3)
    if gap == 'disowned':
        robot.driver.disown()
    robot.tick(whole=gap == 'disowned')
    robot.tick()
    # Four actions were chosen; what the third one led to is not known.
    assert [piece.states[:, 0].tolist() for piece, _ in robot.pieces] == [[1, 2, 3], [4, 5]]
    assert robot.driver.waiting


def test_a_state_that_ends_an_episode_ends_it():
    robot = Robot(done_at=3)
    robot.driver.begin()
    robot.ticks(3)
    [(piece, _)] = robot.pieces
    assert piece.states[:, 0].tolist() == [1, 2, 3] and robot.driver.waiting


def test_a_reset_keeps_what_was_measured_before_it():
    robot = Robot()
    robot.driver.begin()
    robot.ticks(3)
    robot.driver.reset()
    robot.driver.reset()
    [(piece, _)] = robot.pieces
    assert piece.steps == 2
    robot.tick()
    assert len(robot.pieces) == 1


def test_an_action_that_is_not_finite_is_not_valid():
    robot = Robot()
    robot.driver.use(policy(float('nan')))
    robot.driver.begin()
    assert not bool(robot.tick().valid)
