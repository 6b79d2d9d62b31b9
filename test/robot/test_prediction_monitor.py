# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Shadow mode: what others command goes into the history, and predictions are held against it."""

import math

import numpy as np
import pytest
import torch

from mbmrl_ros.models.dynamics import build_dynamics
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.history import History
from mbmrl_ros.robot.latency import Latency
from mbmrl_ros.robot.prediction_monitor import PredictionError, PredictionMonitor
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Adapted, Plan, Reading, Transitions

SPEC = load_robot('half_cheetah')
S, A = SPEC.state_size, SPEC.action_size


def dynamics_and_params(seed=0):
    deviation = torch.linspace(0.5, 2.0, S)
    ones, zeros = torch.ones(S), torch.zeros(S)
    dynamics = build_dynamics(SPEC, (16,), Normalizer(zeros, ones, zeros, deviation))
    return dynamics, dynamics.init(torch.Generator().manual_seed(seed))


def test_the_score_is_the_loss_of_the_parameters_of_the_tick_before():
    dynamics, params = dynamics_and_params()
    monitor = PredictionMonitor(dynamics)
    last = Transitions(torch.randn(1, 1, S), torch.rand(1, 1, A), torch.randn(1, 1, S))
    assert all(map(math.isnan, monitor.score(last))), 'nothing was foreseen yet'
    monitor.remember(params)
    prediction_error = monitor.score(last)
    assert prediction_error.adapted == pytest.approx(float(dynamics.loss(params, last)))
    change = (last.next_states - last.states) / torch.linspace(0.5, 2.0, S)
    assert prediction_error.no_change == pytest.approx(float(change.square().mean()))
    assert all(map(math.isnan, monitor.score(None)))
    monitor.forget()
    assert all(map(math.isnan, monitor.score(last)))


def test_a_model_that_remembers_is_scored_with_what_it_remembered():
    dynamics = build_model(SPEC, (16,), 'gru')
    params = dynamics.init(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    past, last = (
        Transitions(*(torch.randn(1, steps, n, generator=generator) for n in (S, A, S)))
        for steps in (5, 1)
    )
    carry, _ = dynamics.follow(params, dynamics.empty(1), past)
    monitor = PredictionMonitor(dynamics)
    monitor.remember(params, carry)
    _, errors = dynamics.follow(params, carry, last)
    assert monitor.score(last).adapted == pytest.approx(float(errors.mean()), rel=1e-5)
    assert float(errors.mean()) != pytest.approx(float(dynamics.loss(params, last)), rel=1e-3)


def test_the_last_transition_of_a_history():
    history = History(3, 0.1, 1, 1)
    assert history.last() is None
    for step in range(5):
        history.observe(0.1 * step, np.array([float(step)]))
        if step:
            last = history.last()
            assert (last.states.item(), last.next_states.item()) == (step - 1, step)
            assert last.actions.item() == pytest.approx(0.1 * (step - 1))
        history.applied(np.array([0.1 * step]))


class Planner:
    """An MPC that wants what nobody does, and remembers the windows that it saw."""

    window_size = 4

    def __init__(self, params):
        self.params, self.windows = params, []

    def reset(self):
        pass

    def act(self, window, attempted, state, pending, until_s):
        from mbmrl_ros.robot.action_source import Decision

        self.windows.append((window, bool(attempted[0])))
        action, yes, loss = torch.full((1, A), 0.9), torch.tensor([True]), torch.tensor([0.5])
        plan = Plan(action[:, None], loss, action[:, None, None], loss[:, None], yes * 0, yes)
        adapted = Adapted(self.params, loss, loss, yes, ~yes)
        return Decision(action, yes, adapted, plan, 0.0, 0.0)


def drive(controller, clock, steps, heard=None):
    ticks = []
    for step in range(steps):
        clock[0] = step * SPEC.period_s
        for topic in SPEC.topics:
            values = [0.1 * step] * len(SPEC.topic_signals(topic))
            for place, signal in enumerate(SPEC.topic_signals(topic)):
                if 'orientation' in signal:
                    values[place] = float(signal.endswith('w'))
            controller.on_reading(Reading(topic, clock[0], clock[0], tuple(values)))
        ticks.append(controller.tick(clock[0]))
        if heard is not None:
            controller.on_external_command(clock[0], heard(step))
    return ticks


def test_the_history_holds_what_others_commanded_and_predictions_are_scored():
    dynamics, params = dynamics_and_params()
    clock, planner = [0.0], Planner(params)
    controller = Controller(
        SPEC, planner, lambda: clock[0], Latency(SPEC), PredictionMonitor(dynamics)
    )
    upper = np.array(SPEC.action.upper)
    ticks = drive(controller, clock, 10, heard=lambda step: 0.1 * step * upper)
    window, attempted = planner.windows[-1]
    assert attempted
    # At tick 9: the transitions from states 5, 6, 7, 8, under the commands of these moments.
    expected = torch.tensor([0.5, 0.6, 0.7, 0.8])[:, None].expand(4, A)
    torch.testing.assert_close(window.actions[0], expected)
    assert (
        ticks[0].diagnostics.prediction_error.adapted
        != ticks[0].diagnostics.prediction_error.adapted
    )
    last = Transitions(*(tensor[:, -1:] for tensor in window))
    prediction_error = ticks[-1].diagnostics.prediction_error
    assert prediction_error.adapted == pytest.approx(float(dynamics.loss(params, last)), rel=1e-5)
    assert np.allclose(ticks[-1].command.values, 0.9 * upper), 'what it would have done'


def test_who_drives_itself_is_not_scored_and_hears_itself():
    _, params = dynamics_and_params()
    clock, planner = [0.0], Planner(params)
    controller = Controller(SPEC, planner, lambda: clock[0], Latency(SPEC))
    ticks = drive(controller, clock, 8)
    torch.testing.assert_close(planner.windows[-1][0].actions, torch.full((1, 4, A), 0.9))
    assert all(math.isnan(tick.diagnostics.prediction_error.adapted) for tick in ticks)


def test_shadow_mode_needs_to_know_when_commands_count():
    dynamics, params = dynamics_and_params()
    with pytest.raises(ValueError, match='shadow mode needs latency'):
        Controller(SPEC, Planner(params), monitor=PredictionMonitor(dynamics))


def test_a_surprise_that_is_none_is_not_a_number():
    assert all(map(math.isnan, PredictionError()))
