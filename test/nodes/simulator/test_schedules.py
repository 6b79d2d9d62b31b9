# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest
from rclpy.validate_full_topic_name import validate_full_topic_name

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.settings import SimSettings
from mbmrl_ros.nodes.simulator.schedules import (
    disturbances_of,
    parse_schedule,
    switches,
    training_draws,
)
from mbmrl_ros.sim.disturbances import Disturbance, active
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
THIGH, SHIN = Disturbance('disabled_joint', 'bthigh'), Disturbance('disabled_joint', 'fshin', 0.5)


def test_a_schedule_switches_on_at_its_first_step_and_off_at_its_last():
    schedule = parse_schedule(SPEC, ['disabled_joint:bthigh@333', 'disabled_joint:fshin:0.5@0-2'])
    by_step = {step: active(schedule, step) for step in (0, 1, 2, 332, 333, 10_000)}
    assert by_step == {0: (SHIN,), 1: (SHIN,), 2: (), 332: (), 333: (THIGH,), 10_000: (THIGH,)}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('disabled_joint:bthigh', 'kind:target@step'),
        ('disabled_joint:bthigh@', 'kind:target@step'),
        ('disabled_joint:bthigh@-5', 'kind:target@step'),
        ('disabled_joint:bthigh@5-', 'kind:target@step'),
        ('disabled_joint:bthigh@3.5', 'kind:target@step'),
        ('disabled_joint:bthigh@200-100', 'ends before it begins'),
        ('disabled_joint:bthigh@100-100', 'ends before it begins'),
        ('disabled_joint:bthig@5', "did you mean 'bthigh'"),
        ('dead_joint:bthigh@5', 'unknown disturbance'),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_in_one_line(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_schedule(SPEC, [text])
    assert '\n' not in str(error.value)


def test_without_a_task_every_joint_can_be_switched_off():
    assert [d.target for d in disturbances_of(SPEC, '')] == list(SPEC.action.joints)


def test_a_switch_has_a_name_that_ros_takes_whatever_the_joint_is_called():
    joints = ['robot::hip', 'robot//hip', '1e3', 'épaule', 'plain']
    named = switches([Disturbance('disabled_joint', joint) for joint in joints])
    assert list(named) == [
        f'~/disabled_joint/{name}'
        for name in ('robot__hip', 'robot__hip_2', '_1e3', '_paule', 'plain')
    ]
    assert [disturbance.target for disturbance in named.values()] == joints
    for name in named:
        validate_full_topic_name(f'/node{name[1:]}', is_service=True)


def test_a_task_for_another_robot_is_refused():
    assert THIGH in disturbances_of(SPEC, 'half_cheetah/disabled_joint')
    other = SPEC.model_copy(update={'name': 'ant'})
    with pytest.raises(UserError, match='is for robot half_cheetah, not for ant'):
        disturbances_of(other, 'half_cheetah/disabled_joint')


def test_of_what_differs_in_its_value_alone_one_can_be_switched():
    pier = load_robot('half_cheetah_pier')
    # 64 draws to train on; the one of the tests comes first.
    assert disturbances_of(pier, 'half_cheetah/pier') == (
        Disturbance('blocks', 'damping_and_friction', 1000),
    )


def test_episodes_of_a_training_differ_in_what_goes_wrong_and_the_same_seed_repeats_them():
    settings = SimSettings(task='half_cheetah/disabled_joint', training_steps=500, seed=3)
    first, again = ([draw() for _ in range(4)] for draw in map(training_draws, [settings] * 2))
    assert first == again and len(set(first)) > 1
    assert all(event.step < 500 for schedule in first for event in schedule)
    assert training_draws(SimSettings())() is None, 'the schedule stays'


@pytest.mark.parametrize('more', [{}, {'task': 'half_cheetah/disabled_joint', 'schedule': ('a',)}])
def test_a_training_is_one_of_a_task_and_has_no_schedule_of_its_own(more):
    with pytest.raises(UserError, match='set task, and no schedule'):
        training_draws(SimSettings(training_steps=5, **more))
