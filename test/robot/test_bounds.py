# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Finite nonsense is no state: numbers beyond joints and training, and nothing but zeros."""

import numpy as np
import pytest

from mbmrl_ros.robot.bounds import Statistics, joined, joint_bounds, training_bounds
from mbmrl_ros.robot.state import StateAssembler
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Reading

SPEC = load_robot('half_cheetah')
PLACE = {channel.name: place for place, channel in enumerate(SPEC.state)}
LIMITS = {'bthigh': (-0.5, 1.0), 'ffoot': (-0.5, 0.5)}


def statistics(mean=0.0, std=1.0, change_std=0.1):
    return Statistics(*(np.full(SPEC.state_size, value) for value in (mean, std, change_std)))


def state(**values):
    result = np.zeros(SPEC.state_size)
    result[[PLACE[name] for name in values]] = list(values.values())
    return result


@pytest.mark.parametrize(
    ('name', 'value', 'inside'),
    [
        ('bthigh', 1.74, True),
        ('bthigh', 1.76, False),
        ('bthigh', -1.26, False),
        ('ffoot', 1000.0, False),
        ('bshin', 1000.0, True),
    ],
)
def test_a_joint_may_be_half_its_range_beyond_its_limits(name, value, inside):
    fault = joint_bounds(SPEC, LIMITS, 0.5).fault(state(**{name: value}))
    assert (fault is None) == inside
    assert inside or (fault.kind == 'bounds' and fault.text.startswith(f'{name}: {value:.4g} '))


def test_a_state_may_be_so_many_deviations_from_what_the_model_was_trained_on():
    bounds = training_bounds(SPEC, statistics(mean=5.0, std=2.0), 100)
    assert bounds.fault(state(vx=204.0)) is None
    assert bounds.fault(state(vx=206.0)).text.startswith('vx: 206 outside -195..205, ')
    assert bounds.fault(state(vx=1e30)).kind == 'bounds'


def test_a_channel_that_hardly_changed_in_training_gets_a_bound_that_means_something():
    bounds = training_bounds(SPEC, statistics(std=1e-9), 100)
    assert bounds.fault(state(z=0.99)) is None and bounds.fault(state(z=1.01)) is not None
    wide = training_bounds(SPEC, statistics(mean=900.0, std=1e-9), 100)
    assert wide.fault(np.full(SPEC.state_size, 1.0)) is None


def test_what_does_not_feed_the_network_may_go_far_but_not_beyond_what_float32_can_tell():
    bounds = training_bounds(SPEC, statistics(change_std=0.05), 100)
    assert bounds.fault(state(x=10_000.0)) is None
    assert bounds.fault(state(x=1e30)).text.startswith('x: 1e+30 ')


def test_the_range_of_the_robot_file_takes_the_place_of_both():
    data = SPEC.model_dump(mode='json')
    data['plausible'] = {'bthigh': {'range': [-5000, 5000]}, 'vx': {'step': 1.0}}
    spec = RobotSpec.model_validate(data)
    bounds = joined(joint_bounds(spec, LIMITS, 0.5), training_bounds(spec, statistics(), 100))
    assert bounds.fault(state(bthigh=1000.0)) is None
    assert bounds.fault(state(vx=1000.0)) is not None


def test_a_channel_with_a_limit_of_safety_has_no_bounds_so_that_the_stop_stays():
    data = SPEC.model_dump(mode='json')
    data['safety']['limits'] = {'bthigh': [-0.6, 1.1]}
    spec = RobotSpec.model_validate(data)
    bounds = joined(joint_bounds(spec, LIMITS, 0.5), training_bounds(spec, statistics(), 100))
    assert bounds.fault(state(bthigh=1000.0)) is None


def test_angles_as_sine_and_cosine_have_no_bounds():
    bounds = training_bounds(SPEC, statistics(std=1e-9), 0.001)
    assert 'cos_pitch' not in [name for name, *_ in bounds.intervals]


class Robot:
    """The topics of the half-cheetah, a period apart."""

    def __init__(self) -> None:
        self.assembler = StateAssembler(SPEC)
        self.count = 0

    def tick(self, joints: float, last: float | None = None):
        self.count += 1
        at_s = self.count * SPEC.period_s
        for topic in SPEC.topics:
            signals = SPEC.topic_signals(topic)
            values = [float(signal.endswith('orientation.w')) for signal in signals]
            if topic == 'joint_states':
                values = [joints] * (len(values) - 1) + [joints if last is None else last]
            self.assembler.on_reading(Reading(topic, at_s, at_s, tuple(values)))
        return self.assembler.assemble(at_s)


def test_joints_that_all_go_to_exactly_zero_are_no_measurement():
    robot = Robot()
    assert robot.tick(0.3).state is not None
    robot.tick(0.0)
    assembled = robot.tick(0.0)
    assert assembled.state is None and assembled.fault == 'zeros'
    assert assembled.reason == 'joint_states: every value is exactly zero'
    assert robot.tick(0.3).state is not None


def test_a_robot_may_stand_at_zero_before_it_moves():
    robot = Robot()
    assert all(robot.tick(0.0).state is not None for _ in range(100))


def test_one_joint_that_is_not_at_zero_is_enough():
    robot = Robot()
    robot.tick(0.3)
    assert all(robot.tick(0.0, 1e-9).state is not None for _ in range(100))


def test_where_positions_are_commanded_zero_may_be_where_the_robot_was_told_to_be():
    spec = SPEC.model_copy(update={'action': SPEC.action.model_copy(update={'field': 'position'})})
    robot = Robot()
    robot.assembler = StateAssembler(spec)
    assert robot.tick(0.3).state is not None
    assert all(robot.tick(0.0).state is not None for _ in range(100))
