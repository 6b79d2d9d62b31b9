# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Over topics as in one process."""

import time

import numpy as np
import pytest
import yaml
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from mbmrl_ros.nodes.common.messages import command_message, stamp_ns
from mbmrl_ros.nodes.common.settings import ControllerSettings
from mbmrl_ros.nodes.controller.assembly import build_brain
from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.sim.disturbances import Disturbance
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Reading

SPEC = load_robot('half_cheetah')
STEPS = 60
FAILURE = 30
APPLIED = 'sim_node/applied_command'


def in_one_process(bundle, steps: int, seed: int = 1) -> tuple[np.ndarray, float]:
    """Return the commands [steps, A] without any ROS, and the seconds they took."""
    brain = build_brain(SPEC, ControllerSettings(bundle=str(bundle), seed=seed))
    now = [0.0]
    controller = Controller(SPEC, brain.source, clock=lambda: now[0])
    world = World(SPEC)
    world.reset(np.random.default_rng(seed))
    places = {topic: [SPEC.signals.index(s) for s in SPEC.topic_signals(topic)]
              for topic in SPEC.topics}  # fmt: skip
    commands = []
    started = time.perf_counter()
    for step in range(steps):
        now[0] = step * SPEC.period_s
        signals = world.signals()
        for topic, columns in places.items():
            controller.on_reading(Reading(topic, now[0], now[0], tuple(signals[columns])))
        commands.append(controller.tick(now[0]).command.values)
        dead = [Disturbance('disabled_joint', 'bthigh')] if step >= FAILURE else []
        world.set_disturbances(dead)
        world.step(commands[-1])
    return np.stack(commands), time.perf_counter() - started


def test_commands_over_topics_are_those_of_one_process_with_the_same_seed(bench, bundle):
    commands = bench.listen(JointState, SPEC.action.topic)
    applied = bench.listen(JointState, APPLIED)
    stats = bench.listen(Float64MultiArray, 'controller_node/stats')
    bench.controller(lockstep=True)
    bench.sim(lockstep=True, schedule=[f'disabled_joint:bthigh@{FAILURE}'])
    bench.until(lambda: min(len(applied), len(stats)) >= STEPS)
    expected, _ = in_one_process(bundle, STEPS)
    over_topics = {stamp_ns(m.header.stamp): list(m.effort) for m in commands}
    assert [over_topics[stamp_ns(m.header.stamp)] for m in applied[:STEPS]] == [
        list(m.effort) for m in applied[:STEPS]
    ]
    assert np.abs(expected[:STEPS]).max() > 1.0
    np.testing.assert_array_equal([m.effort for m in applied[:STEPS]], expected)
    names = [dim.label for dim in stats[0].layout.dim]
    assert names == list(STATS)
    rows = np.array([row.data for row in stats[:STEPS]])
    stamps = [stamp_ns(m.header.stamp) / 1e9 for m in applied[:STEPS]]
    np.testing.assert_allclose(rows[:, names.index('stamp')], stamps, rtol=0, atol=1e-9)
    assert not rows[:, names.index('fallback')].any()
    # The window of 8 transitions is full at the ninth state.
    assert np.isfinite(rows[:, names.index('loss_before')]).nonzero()[0][0] == 8


def test_each_state_gets_one_answer_and_the_clock_never_runs_ahead_or_back(bench):
    applied = bench.listen(JointState, APPLIED)
    clock = bench.listen(Clock, '/clock')
    states = bench.listen(JointState, 'joint_states')
    bench.controller(lockstep=True)
    bench.sim(lockstep=True)
    bench.until(lambda: len(applied) >= 40)
    stamps = [stamp_ns(message.header.stamp) for message in applied]
    assert (np.diff(stamps) == 10_000_000).all()
    ticks = [stamp_ns(message.clock) for message in clock]
    assert (np.diff(ticks) >= 0).all()
    assert set(ticks) <= {stamp_ns(message.header.stamp) for message in states}


def test_a_recorder_that_is_connected_late_still_gets_every_step_from_the_first_on(bench):
    bench.controller(lockstep=True)
    bench.sim(lockstep=True)
    bench.until_status('simulation', lambda _, values: int(values['step']) >= 20)
    profile = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    late = {topic: [] for topic in ('odom', 'joint_states', APPLIED)}
    for topic, kind in zip(late, (Odometry, JointState, JointState)):
        bench.node.create_subscription(kind, topic, late[topic].append, profile)
    rows = []
    stats = 'controller_node/stats'
    bench.node.create_subscription(Float64MultiArray, stats, rows.append, profile)

    def stamps(topic):
        # On a busy machine one is sent again.
        return list(dict.fromkeys(stamp_ns(message.header.stamp) for message in late[topic]))

    bench.until(lambda: rows and min(len(stamps(topic)) for topic in late) >= 30)
    for topic in late:
        assert stamps(topic)[:30] == [10_000_000 * (step + 1) for step in range(30)]
    assert rows[0].data[STATS.index('stamp')] == 0.01


def test_a_controller_that_comes_later_is_waited_for_from_the_first_state_on(bench):
    applied = bench.listen(JointState, APPLIED)
    bench.sim(lockstep=True, lockstep_timeout_s=0.2)
    bench.until_status('simulation', lambda message, values: 'waiting' in values['mode'])
    bench.until_status('simulation', lambda message, values: values['step'] == '0')
    bench.controller(lockstep=True)
    bench.until(lambda: len(applied) >= 5)
    assert stamp_ns(applied[0].header.stamp) == 10_000_000
    assert not applied[0].header.frame_id


def test_a_reset_keeps_stamps_going_up_and_leaves_a_gap_that_no_window_spans(bench):
    applied = bench.listen(JointState, APPLIED)
    clock = bench.listen(Clock, '/clock')
    stats = bench.listen(Float64MultiArray, 'controller_node/stats')
    bench.controller(lockstep=True)
    bench.sim(lockstep=True)
    bench.until(lambda: len(applied) >= 20)
    response = bench.call(Trigger, 'sim_node/reset')
    assert response.success
    wanted = len(applied) + 20
    bench.until(lambda: len(applied) >= wanted)
    stamps = [stamp_ns(message.header.stamp) for message in applied[:wanted]]
    bench.until(lambda: stats and round(stats[-1].data[0] * 1e9) >= stamps[-1])
    assert (np.diff([stamp_ns(message.clock) for message in clock]) >= 0).all()
    # The state that was there at the reset got no answer, and the reset itself takes two periods.
    [after] = np.flatnonzero(np.diff(stamps) == 30_000_000) + 1
    assert (np.delete(np.diff(stamps), after - 1) == 10_000_000).all()
    rows = {round(row.data[0] * 1e9): row.data for row in stats}
    losses = [rows[stamp][STATS.index('loss_before')] for stamp in stamps]
    assert np.isfinite(losses[after - 1])
    assert np.isnan(losses[after : after + 8]).all() and np.isfinite(losses[after + 8])


def test_the_same_episode_can_be_had_again_by_setting_the_seeds_and_resetting(bench):
    applied = bench.listen(JointState, APPLIED)
    bench.controller(lockstep=True)
    sim = bench.sim(lockstep=True)
    bench.until(lambda: len(applied) >= 12)
    first = [list(message.effort) for message in applied[:10]]
    bench.call(SetBool, 'sim_node/pause', data=True)
    bench.call(Trigger, 'controller_node/reset')
    for seed in (2, 1):
        sim.set_parameters([Parameter('seed', value=seed)])
    bench.call(Trigger, 'sim_node/reset')
    applied.clear()
    bench.call(SetBool, 'sim_node/pause', data=False)
    bench.until(lambda: len(applied) >= 10)
    assert [list(message.effort) for message in applied[:10]] == first


def test_a_paused_simulator_makes_no_step_and_goes_on_where_it_was(bench):
    applied = bench.listen(JointState, APPLIED)
    bench.controller(lockstep=True)
    bench.sim(lockstep=True, lockstep_timeout_s=0.8)
    bench.until(lambda: len(applied) >= 5)
    assert bench.call(SetBool, 'sim_node/pause', data=True).message == 'paused'
    bench.until_status('simulation', lambda message, values: values['mode'] == 'paused')
    count = len(applied)
    bench.until_status('simulation', lambda message, values: values['mode'] == 'paused')
    assert len(applied) == count
    bench.call(SetBool, 'sim_node/pause', data=False)
    bench.until(lambda: len(applied) >= count + 5)
    stamps = [stamp_ns(message.header.stamp) for message in applied]
    assert (np.diff(stamps) == 10_000_000).all()
    assert not any(message.header.frame_id for message in applied)


@pytest.fixture
def headless(tmp_path):
    """A half-cheetah whose commands are Float64MultiArrays, which have no header."""
    data = SPEC.model_dump(mode='json')
    data['action']['type'] = 'std_msgs/msg/Float64MultiArray'
    robot = tmp_path / 'headless.yaml'
    robot.write_text(yaml.safe_dump(data))
    return load_robot(str(robot)), str(robot)


def test_commands_without_a_header_answer_the_state_that_their_label_says(bench, bundle, headless):
    spec, robot = headless
    applied = bench.listen(JointState, APPLIED)
    publisher = bench.node.create_publisher(Float64MultiArray, SPEC.action.topic, 10)
    strange = np.full(SPEC.action_size, 99.0)

    def disturb():
        # The answer to a state that is over, and one that says not to which state.
        stale = stamp_ns(applied[-1].header.stamp) if applied else 0
        publisher.publish(command_message(spec, strange, stale, label=True))
        publisher.publish(command_message(spec, strange, 0))

    bench.controller(lockstep=True, robot=robot)
    bench.sim(lockstep=True, robot=robot, schedule=[f'disabled_joint:bthigh@{FAILURE}'])
    bench.node.create_timer(0.005, disturb)
    bench.until(lambda: len(applied) >= STEPS)
    expected, _ = in_one_process(bundle, STEPS)
    np.testing.assert_array_equal([m.effort for m in applied[:STEPS]], expected)
    bench.until_status(
        'simulation',
        lambda _, values: 'refused_commands: lockstep needs commands with a stamp' in values,
    )
