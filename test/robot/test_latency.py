# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Latency on a double integrator, x'' = u, whose motion has a closed form."""

import numpy as np
import pytest
import torch

from mbmrl_ros.adaptation.adapter import NoAdaptation
from mbmrl_ros.config import parse
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig
from mbmrl_ros.robot.action_source import Decision
from mbmrl_ros.robot.adaptive_mpc import AdaptiveModel, AdaptiveMPC
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.latency import Latency, predict_forward, transport_s
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Adapted, Plan, Reading

PERIOD = 0.1
WINDOW = 4
CART = {
    'name': 'cart', 'period_s': PERIOD,
    'topics': {'joints': {'type': 'sensor_msgs/msg/JointState', 'timeout_s': 10.0}},
    'state': [
        {'name': 'x', 'topic': 'joints', 'field': 'position', 'joint': 'cart', 'unit': 'm'},
        {'name': 'v', 'topic': 'joints', 'field': 'velocity', 'joint': 'cart', 'unit': 'm/s'},
    ],
    'action': {
        'topic': 'commands', 'type': 'sensor_msgs/msg/JointState', 'unit': 'N',
        'joints': ['cart'], 'lower': [-1], 'upper': [1], 'rate_limit': [1e6], 'fallback': [0],
        'timeout_s': 1.0,
    },
    'safety': {'deadline_s': 1.0, 'decay_s': 1.0},
}  # fmt: skip


def cart(latency_s=0.0):
    return parse(RobotSpec, CART | {'latency_s': latency_s}, 'test')


class Integrator:
    """The exact model of one period under a constant force on 1 kg."""

    def step(self, params, carry, state, action):
        x, v = state[..., :1], state[..., 1:]
        following = [x + PERIOD * v + PERIOD**2 / 2 * action, v + PERIOD * action]
        return carry, torch.cat(following, -1)

    def loss(self, params, transitions, records=None):
        return torch.zeros(len(transitions.states))

    def planning_step(self, params, reuse=None):
        return lambda carry, state, action: self.step(params, carry, state, action)


def reward(state, action, next_state):
    """Go to 1 m and stay there."""
    return -(next_state[..., 0] - 1).square() - 0.1 * next_state[..., 1].square()


class Plant:
    """The cart itself, moved exactly under commands that take effect at times of their own."""

    def __init__(self):
        self.x = self.v = self.now = 0.0
        self.commands = [(-np.inf, 0.0)]

    def move_to(self, time_s):
        starts = [start for start, _ in self.commands] + [np.inf]
        for place, (_, force) in enumerate(self.commands):
            span = min(time_s, starts[place + 1]) - max(self.now, starts[place])
            if span > 0:
                self.x += span * self.v + span**2 / 2 * force
                self.v += span * force
        self.now = time_s


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def drive(ticks, tick_s=0.0, latency_s=0.0, compensate=True, send_after_s=0.0):
    """Return states and forces, [ticks, 2] and [ticks], and the controller's windows."""
    spec, clock, plant = cart(latency_s), Clock(), Plant()
    dynamics = Integrator()
    planner = MPPI(MPPIConfig(candidates=256, horizon=15), 1)
    generator = torch.Generator().manual_seed(0)
    adapter = NoAdaptation(dynamics.loss, {})
    mpc = AdaptiveMPC(AdaptiveModel(dynamics, adapter, WINDOW), planner, reward, generator)
    windows, act = [], mpc.act

    def slow(window, attempted, state, pending, until_s):
        clock.now += tick_s
        windows.append((window, bool(attempted[0])))
        return act(window, attempted, state, pending, until_s)

    mpc.act = slow
    controller = Controller(spec, mpc, clock, Latency(spec) if compensate else None)
    states, forces = [], []
    for tick in range(ticks):
        clock.now = 5.0 + tick * PERIOD
        plant.move_to(clock.now)
        states.append((plant.x, plant.v))
        controller.on_reading(Reading('joints', clock.now, clock.now, states[-1]))
        send_s = clock.now + send_after_s
        command = controller.tick(clock.now, send_s).command
        assert not command.fallback, command.reason
        forces.append(float(command.values[0]))
        plant.commands.append((max(clock.now, send_s) + latency_s, forces[-1]))
    return np.array(states), np.array(forces), windows


def total(states):
    return float(reward(None, None, torch.from_numpy(states)).sum())


@pytest.mark.parametrize('periods', [1, 2])
@pytest.mark.parametrize('share_of_tick', [0.0, 0.6])
def test_a_delayed_robot_goes_the_way_of_one_without_delay_only_later(periods, share_of_tick):
    # While a tick of 0.06 s runs, the robot moves on; how long the first one takes is not known.
    tick_s = share_of_tick * PERIOD
    at_once, forces, _ = drive(60)
    delayed, sent, _ = drive(60, tick_s, periods * PERIOD - tick_s)
    if share_of_tick == 0:
        # The cart waits at rest until its first command, and then sees what the other one saw.
        np.testing.assert_allclose(delayed[periods:], at_once[:-periods], rtol=0, atol=1e-5)
        np.testing.assert_allclose(sent, forces, rtol=0, atol=1e-4)
    blind, _, _ = drive(60, tick_s, periods * PERIOD - tick_s, compensate=False)
    # The delay itself costs (1 m)^2 per period of standing still.
    assert total(delayed) == pytest.approx(total(at_once) - periods, abs=0.2)
    assert total(blind) < total(delayed) - 0.2


@pytest.mark.parametrize('delay', [0.3, 0.7, 1.4])
def test_a_delay_need_not_be_a_whole_number_of_periods(delay):
    at_once, _, _ = drive(60)
    delayed, _, _ = drive(60, 0.0, delay * PERIOD)
    blind, _, _ = drive(60, 0.0, delay * PERIOD, compensate=False)
    assert total(delayed) == pytest.approx(total(at_once) - delay, abs=0.2)
    assert abs(delayed[-1, 0] - 1) < 0.02
    assert total(blind) < total(delayed)


@pytest.mark.parametrize('delay', [0.0, 0.3, 1.0, 1.7])
def test_the_window_pairs_states_with_the_force_that_moved_the_robot_between_them(delay):
    _, _, windows = drive(20, 0.0, delay * PERIOD)
    assert [attempted for _, attempted in windows] == [False] * WINDOW + [True] * (20 - WINDOW)
    for window, attempted in windows:
        if attempted:
            # Mass 1: what the speed changes by is the mean force times the time.
            gained = (window.next_states - window.states)[..., 1:]
            torch.testing.assert_close(gained, PERIOD * window.actions, rtol=0, atol=1e-6)


def test_without_compensation_a_delay_spoils_the_window():
    _, _, windows = drive(20, 0.0, PERIOD, compensate=False)
    window, _ = windows[WINDOW]
    gained = (window.next_states - window.states)[..., 1:]
    assert (gained - PERIOD * window.actions).abs().max() > 0.01


def test_a_command_that_is_held_until_a_fixed_moment_is_planned_for_that_moment():
    held, _, _ = drive(60, tick_s=0.03, send_after_s=0.08)
    fixed, _, _ = drive(60, latency_s=0.08)
    np.testing.assert_allclose(held, fixed, rtol=0, atol=1e-5)


def test_without_delay_nothing_changes_to_the_bit():
    plain = drive(30, compensate=False)
    compensated = drive(30, compensate=True)
    assert (plain[0] == compensated[0]).all() and (plain[1] == compensated[1]).all()
    for (one, _), (other, _) in zip(plain[2], compensated[2]):
        for a, b in zip(one, other):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize('share', [0.25, 0.5, 1.0])
def test_a_share_of_a_period_is_predicted_to_first_order(share):
    state, action = torch.tensor([[0.2, 0.5]]), torch.tensor([[1.0]])
    _, ahead = predict_forward(Integrator(), {}, None, state, [(action, share)])
    span = share * PERIOD
    # Speeds are exact; positions are off by u T^2 f (1 - f) / 2, the chord of a parabola.
    error = PERIOD**2 / 2 * share * (1 - share)
    expected = [0.2 + 0.5 * span + span**2 / 2 + error, 0.5 + span]
    torch.testing.assert_close(ahead, torch.tensor([expected]), rtol=0, atol=1e-6)


@pytest.mark.parametrize('cell', ['lstm', 'gru'])
def test_what_is_remembered_goes_along_for_as_long_as_the_state_does(cell):
    dynamics = RecurrentDynamics(2, 1, (0, 1), (5,), Normalizer.identity(2), cell=cell)
    params = dynamics.init(torch.Generator().manual_seed(0))
    state, actions = torch.tensor([[0.2, 0.5]]), torch.tensor([[[[1.0]]], [[[-0.5]]]])
    remembered, _ = dynamics.step(params, None, state[:, None], actions[1])
    kept = remembered.clone()
    pending = [(actions[0, 0], 1.0), (actions[1, 0], 0.25)]
    carry, ahead = predict_forward(dynamics, params, remembered, state, pending)
    first = dynamics.step(params, remembered, state[:, None], actions[0])
    second = dynamics.step(params, *first, actions[1])
    torch.testing.assert_close(carry, torch.lerp(first[0], second[0], 0.25))
    torch.testing.assert_close(ahead[:, None], torch.lerp(first[1], second[1], 0.25))
    assert torch.equal(remembered, kept), 'what really happened stays what it was'
    assert predict_forward(dynamics, params, remembered, state, [])[0] is remembered
    # Without any memory it begins with none, and a part of a period is too little for one.
    assert predict_forward(dynamics, params, None, state, pending[1:])[0] is None


def test_what_is_pending_is_cut_into_periods():
    latency = Latency(cart())
    for at_s, action in [(1.0, 0.1), (1.1, 0.2), (1.3, 0.3)]:
        latency.sent(at_s, np.array([action]))
    steps = [(float(row), periods) for row, periods in latency.pending(0.95, 1.33)]
    actions, periods = zip(*steps)
    # Up to 1.0 s the fallback; then 0.1 s, 0.2 s (a period was missed) and 0.03 s.
    assert actions == pytest.approx([0.0, 0.1, 0.2, 0.2, 0.3])
    assert sum(periods) * PERIOD == pytest.approx(0.38)
    assert max(periods) <= 1.0
    assert latency.pending(1.31, 1.31) == []
    assert latency.mean(1.05, 1.15) == pytest.approx(0.15)
    assert latency.mean(1.15, 1.25) is latency.in_effect(1.15, 1.25)[0][0]


def test_the_next_tick_is_expected_to_take_as_long_as_the_last_ones_mostly_took():
    latency = Latency(cart(latency_s=0.02))
    assert latency.effect_s(7.0, -np.inf) == pytest.approx(7.02)
    for tick_s in [0.05, 0.05, 0.9, 0.05]:
        latency.record_duration(tick_s)
    assert latency.effect_s(7.0, -np.inf) == pytest.approx(7.07)
    assert latency.effect_s(7.0, 7.06) == pytest.approx(7.08)
    for _ in range(9):
        latency.record_duration(60.0)
    # What takes longer than the deadline is not sent.
    assert latency.effect_s(7.0, -np.inf) == pytest.approx(8.02)


def test_commands_that_are_forgotten_change_nothing_about_what_is_on_its_way():
    latency = Latency(cart())
    for tick in range(10_000):
        latency.sent(tick * PERIOD, np.array([tick / 10_000]))
    [(action, periods)] = latency.pending(999.95, 1000.0)
    assert float(action) == pytest.approx(0.9999) and periods == pytest.approx(0.5)


def test_the_way_of_a_message_counts_where_stamps_and_arrivals_have_one_clock():
    assert transport_s(1.8e9, 1.8e9 + 0.25, 0.3) == pytest.approx(0.25, abs=1e-6)
    # Clocks that differ: ahead, behind, simulated.
    for stamp_s in (1.8e9 + 0.01, 1.8e9 - 0.31, 12.3):
        assert transport_s(stamp_s, 1.8e9, 0.3) == 0.0


def test_the_robot_file_may_fix_the_way_of_a_message():
    for stamp_s in (1.8e9 + 5, 1.8e9 - 0.2, 12.3):
        assert transport_s(stamp_s, 1.8e9, 0.3, 0.004) == 0.004
        assert transport_s(stamp_s, 1.8e9, 0.3, 0.0) == 0.0


def test_a_state_counts_from_its_measurement_on():
    spec = cart()
    controller = Controller(spec, Waiting(), lambda: 5.0, Latency(spec))
    controller.on_reading(Reading('joints', 5.0, 4.98, (0.0, 0.0), transport_s=0.03))
    diagnostics = controller.tick(5.0).diagnostics
    # Measured at 4.95 s, answered at 5 s in no time.
    assert diagnostics.latency_s == pytest.approx(0.05)


class Waiting:
    """Plans nothing."""

    window_size = WINDOW

    def act(self, window, attempted, state, pending, until_s):
        no, nothing = torch.zeros(1, dtype=torch.bool), torch.full((1,), torch.nan)
        action = torch.zeros(1, 1)
        plan = Plan(action[:, None], nothing, action[:, None, None], nothing[:, None], 0 * no, no)
        return Decision(action, no, Adapted({}, nothing, nothing, no, no), plan, 0.0, 0.0)
