# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes of a robot that is driven at random until there is a model to plan in."""

import pytest
import torch

from mbmrl_ros.robot.action_source import Decision, PlanningSource
from mbmrl_ros.robot.episode_driver import WAITING
from mbmrl_ros.robot.history import History, stack_windows
from mbmrl_ros.robot.planned_episodes import Planned, PlannedEpisodes
from mbmrl_ros.robot.random_policy import RandomPolicy
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
STATES, ACTIONS, WINDOW, HORIZON = SPEC.state_size, SPEC.action_size, 3, 6


class Planner:
    """Stands where the planner does: plans what its model says."""

    window_size, planner, model, resets, asked = WINDOW, None, 0.0, 0, 0

    def use_model(self, model):
        self.model = model

    def reset(self):
        self.resets += 1

    def act(self, window, attempted, state, pending, until_s):
        self.asked += 1
        action = torch.full((1, ACTIONS), self.model, dtype=torch.float64)
        return Decision(action, torch.ones(1, dtype=torch.bool), adapt_s=1.0)


class Robot:
    """Its state counts the periods, and what it does goes into a history."""

    def __init__(self):
        self.pieces, self.planner = [], Planner()
        random = RandomPolicy(SPEC, torch.Generator().manual_seed(0))
        self.planned = Planned(self.planner, random)
        self.driver = PlannedEpisodes(
            SPEC, HORIZON, lambda state: torch.zeros(1, dtype=torch.bool), self.planned,
            lambda piece, proposal: self.pieces.append((piece, proposal.model)),
        )  # fmt: skip
        self.history, self.step = History(WINDOW, 1.0, STATES, ACTIONS), 0

    def observe(self, action):
        """Make a step under an action, or after a gap."""
        if action is not None:
            self.history.applied(action)
        self.step += 1
        self.history.observe(float(self.step), torch.full((STATES,), float(self.step)).numpy())

    def tick(self):
        window, whole = stack_windows([self.history])
        state = torch.full((1, STATES), float(self.step))
        return self.driver.act(window, whole, state, (), 0.0)

    def ticks(self, count):
        for _ in range(count):
            decision = self.tick()
            self.observe(decision.action[0].numpy())
        return decision


@pytest.fixture
def robot():
    robot = Robot()
    robot.observe(None)
    return robot


def test_before_the_first_episode_it_plans_for_nobody_so_that_no_plan_is_slow_later(robot):
    assert isinstance(robot.driver, PlanningSource)
    decision = robot.ticks(2)
    assert decision.mode == WAITING and robot.planner.asked == 2
    robot.driver.begin()
    robot.ticks(1)
    assert robot.planner.asked == 2 and not robot.pieces, 'there is no model: at random'


def test_a_newer_model_counts_from_the_next_period_on_and_is_no_gap(robot):
    robot.driver.begin()
    robot.ticks(2)
    for model in (0.25, 0.5):
        robot.driver.use_model(model, f'version {model}', 0.0)
        assert robot.ticks(1).adapt_s == 1.0
        assert robot.planned.first_s > 0
    robot.ticks(HORIZON - 4)
    robot.tick()
    [(piece, model)] = robot.pieces
    assert model == 'version 0.5' and piece.steps == HORIZON
    assert piece.states[:, 0].tolist() == list(range(1, HORIZON + 2))
    assert piece.actions[:2].abs().max() > 0 and piece.actions[0, 0] != piece.actions[1, 0]
    assert piece.actions[2:, 0].tolist() == [0.25] + [0.5] * (HORIZON - 3)


def test_the_first_episodes_may_be_at_random_whatever_model_there_is(robot):
    robot.driver.use_model(0.5, 1, 0.0)
    robot.planned.at_random = True
    robot.driver.begin()
    assert robot.ticks(HORIZON + 1).mode == WAITING
    assert robot.planner.asked == 0 and len(set(robot.pieces[0][0].actions[:, 0].tolist())) > 1
    robot.planned.at_random = False
    robot.driver.begin()
    assert robot.ticks(1).action[0, 0] == 0.5


def test_a_missed_period_whose_transition_is_known_is_kept_and_one_that_is_not_ends_a_piece(robot):
    robot.driver.use_model(0.5, 1, 0.0)
    robot.driver.begin()
    robot.ticks(2)
    # A period in which nobody ticked, under the command of before.
    robot.observe(robot.history._actions[-1])
    robot.ticks(1)
    robot.observe(None)
    robot.ticks(2)
    robot.driver.reset()
    pieces = [piece.states[:, 0].tolist() for piece, _ in robot.pieces]
    # Nobody ticked between the fifth reading and the gap, nor after the seventh.
    assert pieces == [[1, 2, 3, 4], [6, 7]]


def test_every_episode_begins_without_the_plan_of_the_last(robot):
    robot.driver.use_model(0.5, 1, 0.0)
    robot.driver.begin()
    robot.ticks(HORIZON + 1)
    assert robot.driver.waiting and robot.planner.resets == 1
    asked = robot.planner.asked
    robot.ticks(3)
    assert robot.planner.asked == asked, 'between two episodes nothing is planned'
    robot.driver.begin()
    robot.ticks(1)
    assert robot.planner.resets == 2
