# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can be asked of running nodes: life cycle, reload, disturbances, parameters."""

import numpy as np
import pytest
import yaml
from nav_msgs.msg import Path
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState, PointCloud2
from std_msgs.msg import Float64, Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger

from mbmrl_ros.nodes.common import lifecycle
from mbmrl_ros.nodes.common.messages import stamp_ns
from mbmrl_ros.nodes.controller import visuals
from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.spec.robot import RobotSpec, load_robot

SPEC = load_robot('half_cheetah')
SUCCESS = TransitionCallbackReturn.SUCCESS


def set_parameter(node, name, value):
    [result] = node.set_parameters([Parameter(name, value=value)])
    return result


def planned(message):
    return any(message.effort)


@pytest.fixture
def stats(bench):
    return bench.listen(Float64MultiArray, 'controller_node/stats')


def latest(stats, name):
    return stats[-1].data[STATS.index(name)]


def test_deactivating_sends_the_fallback_last_and_activating_goes_on(bench, robot):
    commands = bench.listen(JointState, 'joint_commands')
    node = bench.controller()
    bench.until(lambda: commands and planned(commands[-1]))
    assert node.trigger_deactivate() == SUCCESS
    bench.until(lambda: not planned(commands[-1]))
    count = len(commands)
    bench.until_status('control', lambda message, _: message == 'inactive')
    assert len(commands) == count, 'nothing after the fallback'
    assert node.trigger_activate() == SUCCESS
    bench.until(lambda: planned(commands[-1]))


def test_every_number_of_a_tick_is_a_topic_of_its_own_name(bench, robot, stats):
    assert STATS[0] == 'stamp'
    named = {name: bench.listen(Float64, f'controller_node/stats/{name}') for name in STATS[1:]}
    bench.controller()
    bench.until(lambda: all(named.values()) and len(stats) > 2)
    for name, messages in named.items():
        # Not the first ones: publishers hear of who listens one after another.
        newest = messages[-1].data
        rows = [row.data[STATS.index(name)] for row in stats]
        assert any(newest == value or (newest != newest and value != value) for value in rows)


def test_after_cleaning_up_another_robot_file_can_be_configured(bench, robot, tmp_path):
    renamed = tmp_path / 'renamed.yaml'
    data = SPEC.model_dump(mode='json')
    data['action']['topic'] = 'other_commands'
    renamed.write_text(yaml.safe_dump(data))
    node = bench.controller()
    assert not set_parameter(node, 'robot', str(renamed)).successful
    for transition in (node.trigger_deactivate, node.trigger_cleanup):
        assert transition() == SUCCESS
    assert set_parameter(node, 'robot', str(renamed)).successful
    commands = bench.listen(JointState, 'other_commands')
    for transition in (node.trigger_configure, node.trigger_activate):
        assert transition() == SUCCESS
    bench.until(lambda: commands and planned(commands[-1]))
    assert bench.node.count_publishers('joint_commands') == 0


def test_an_error_in_configuring_leaves_a_node_that_can_be_configured(bench):
    sim = bench.sim()
    assert sim.trigger_deactivate() == sim.trigger_cleanup() == SUCCESS
    assert set_parameter(sim, 'robot', 'half_cheeta').successful
    assert sim.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert sim.problem.startswith("unknown robot 'half_cheeta'; did you mean 'half_cheetah'")
    assert set_parameter(sim, 'robot', 'half_cheetah').successful
    assert sim.trigger_configure() == SUCCESS


def test_in_a_process_of_its_own_a_node_keeps_what_stays_from_the_garbage_collector(
    bench, monkeypatch
):
    calls = []
    for name in ('collect', 'freeze'):
        monkeypatch.setattr(lifecycle.gc, name, lambda name=name: calls.append(name))
    node = bench.sim()
    assert not calls, 'other things run in this process'
    node.owns_process = True
    assert node.trigger_deactivate() == node.trigger_activate() == SUCCESS
    assert calls == ['collect', 'freeze']


def test_reloading_takes_the_new_bundle_between_two_ticks(
    bench, slow_spec, slow_robot, stats, make_bundle, tmp_path
):
    _, settings = slow_robot
    node = bench.controller(**settings)
    bench.until(lambda: stats and latest(stats, 'adapted'))
    bundle = make_bundle(tmp_path / 'mb', spec=slow_spec, seed=1, algorithm='mb')
    assert set_parameter(node, 'bundle', str(bundle)).successful
    response = bench.call(Trigger, 'controller_node/reload')
    assert response.success and str(bundle) in response.message
    # MB reports the loss on a full window, and never adapts to it.
    bench.until(lambda: not latest(stats, 'adapted') and np.isfinite(latest(stats, 'loss_before')))
    assert not latest(stats, 'fallback')


def test_a_bundle_that_does_not_fit_is_refused_and_the_old_one_drives_on(
    bench, slow_spec, slow_robot, stats, make_bundle, tmp_path
):
    data = slow_spec.model_dump()
    data['action']['joints'] = slow_spec.action.joints[::-1]
    other = RobotSpec.model_validate(data)
    wrong = make_bundle(tmp_path / 'other', spec=other)
    damaged = make_bundle(tmp_path / 'damaged', spec=slow_spec)
    (damaged / 'model.safetensors').write_bytes(b'nothing')
    _, settings = slow_robot
    node = bench.controller(**settings)
    bench.until(lambda: stats and latest(stats, 'adapted'))
    for path, reason in [
        (wrong, 'its joints is'),
        (damaged, 'damaged'),
        (tmp_path / 'missing', 'no bundle'),
    ]:
        assert set_parameter(node, 'bundle', str(path)).successful
        response = bench.call(Trigger, 'controller_node/reload')
        assert not response.success and reason in response.message
        assert response.message.endswith('the old bundle drives on')
        count = len(stats)
        bench.until(lambda count=count: len(stats) > count + 10 and latest(stats, 'adapted'))


def test_planners_are_exchanged_while_they_drive(bench, robot, stats):
    node = bench.controller(planner__candidates=48)
    bench.until(lambda: stats and latest(stats, 'candidates') == 48)
    for kind, candidates in (('random_shooting', 48), ('cem', 40), ('', 32)):
        values = [('planner.kind', kind), ('planner.candidates', candidates)]
        parameters = [Parameter(name, value=value) for name, value in values]
        assert node.set_parameters_atomically(parameters).successful
        bench.until(
            lambda kind=kind: (
                node._topics.controller._source.planner.config.kind == (kind or 'mppi')
            )
        )
        bench.until(lambda candidates=candidates: latest(stats, 'candidates') == candidates)
        assert not latest(stats, 'fallback') and np.isfinite(latest(stats, 'expected_return'))
    assert set_parameter(node, 'planner.smoothing', 0.5).successful
    refused = set_parameter(node, 'planner.kind', 'cem')
    assert not refused.successful and "unknown key 'smoothing'" in refused.reason


def test_a_joint_goes_dead_and_comes_back_by_service(bench):
    bench.sim()
    response = bench.call(SetBool, 'sim_node/disabled_joint/bthigh', data=True)
    assert response.success and response.message == 'disabled_joint:bthigh'
    bench.call(SetBool, 'sim_node/disabled_joint/fshin', data=True)
    bench.until_status(
        'simulation',
        lambda _, values: values['disturbances'] == 'disabled_joint:bthigh, disabled_joint:fshin',
    )
    bench.call(SetBool, 'sim_node/disabled_joint/bthigh', data=False)
    assert bench.call(Trigger, 'sim_node/reset').success
    bench.until_status('simulation', lambda _, values: values['disturbances'] == 'none')


def test_a_disturbance_with_a_value_comes_by_topic_and_none_ends_them_all(bench):
    bench.sim()
    publisher = bench.node.create_publisher(String, 'sim_node/disturbance', 10)
    bench.until(lambda: publisher.get_subscription_count() == 1)
    publisher.publish(String(data='disabled_joint:bthig'))
    publisher.publish(String(data='disabled_joint:bthigh:0.5'))
    bench.until_status(
        'simulation', lambda _, values: values['disturbances'] == 'disabled_joint:bthigh:0.5'
    )
    publisher.publish(String(data='none'))
    bench.until_status('simulation', lambda _, values: values['disturbances'] == 'none')


def test_a_dead_joint_gets_its_command_and_does_not_move_by_it(bench):
    applied = bench.listen(JointState, 'sim_node/applied_command')
    states = bench.listen(JointState, 'joint_states')
    bench.sim(schedule=['disabled_joint:fthigh@0'])
    commands = bench.node.create_publisher(JointState, 'joint_commands', 1)
    bench.until(lambda: commands.get_subscription_count() == 1)
    torque = {'bthigh': 120.0, 'fthigh': 120.0}
    message = JointState(name=list(SPEC.action.joints))
    message.effort = [torque.get(name, 0.0) for name in message.name]
    bench.until(lambda: (commands.publish(message), applied and planned(applied[-1]))[1])
    at = len(states)
    bench.until(lambda: len(states) >= at + 3)
    speed = dict(zip(states[at + 2].name, states[at + 2].velocity))
    assert list(applied[-1].effort) == list(message.effort)
    # 120 N m turn a healthy thigh, of about 0.1 kg m^2, at over 10 rad/s within 0.02 s.
    assert abs(speed['bthigh']) > 5 * abs(speed['fthigh'])


def test_the_simulators_speed_changes_while_it_runs(bench):
    sim = bench.sim(speed_factor=0.1)
    bench.until_status('simulation', lambda _, v: 0.05 < float(v['real_time_factor']) < 0.15)
    assert set_parameter(sim, 'speed_factor', 1.0).successful
    bench.until_status('simulation', lambda _, v: float(v['real_time_factor']) > 0.5)
    assert not set_parameter(sim, 'speed_factor', 0.0).successful
    refused = set_parameter(sim, 'lockstep', True)
    assert not refused.successful and 'clean it up first' in refused.reason


def test_robots_whose_commands_have_neither_stamp_nor_names_run_in_real_time(bench, tmp_path):
    data = SPEC.model_dump(mode='json')
    data['action']['type'] = 'std_msgs/msg/Float64MultiArray'
    robot = tmp_path / 'unstamped.yaml'
    robot.write_text(yaml.safe_dump(data))
    applied = bench.listen(JointState, 'sim_node/applied_command')
    commands = bench.listen(Float64MultiArray, 'joint_commands')
    bench.sim(robot=str(robot))
    bench.controller(robot=str(robot))
    bench.until(lambda: applied and planned(applied[-1]))
    assert list(applied[-1].effort) in [list(message.data) for message in commands]


def test_a_namespace_keeps_everything_but_clock_and_diagnostics_apart(bench):
    bench.sim(namespace='left')
    clock = bench.listen(Clock, '/clock')
    states = bench.listen(JointState, '/left/joint_states')
    bench.until(lambda: states and clock)
    assert bench.node.count_publishers('/joint_states') == 0
    assert bench.call(Trigger, '/left/sim_node/reset').success


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('candidates', 32),
        ('horizon', 3),
        ('temperature', 0.5),
        ('noise', 0.25),
        ('smoothing', 0.5),
    ],
)
def test_every_parameter_of_the_planner_counts_while_it_runs(bench, robot, stats, name, value):
    node = bench.controller()
    bench.until(lambda: len(stats) > 3)
    assert set_parameter(node, f'planner.{name}', value).successful
    mpc = node._topics._brain.source
    bench.until(lambda: getattr(mpc._planner.config, name) == value)
    count = len(stats)
    bench.until(lambda: len(stats) > count + 3)
    assert not latest(stats, 'fallback')
    assert mpc._planner_state.mean.shape[1] == mpc._planner.config.horizon


def test_a_planner_that_cannot_be_is_refused_and_the_old_one_plans_on(bench, robot, stats):
    node = bench.controller()
    for name, value in [('candidates', 1), ('horizon', -1), ('noise', 11.0), ('smoothing', 1.5)]:
        assert not set_parameter(node, f'planner.{name}', value).successful
    bench.until(lambda: stats and not latest(stats, 'fallback'))


def test_trajectories_are_imagined_only_while_somebody_looks(bench, robot, stats, monkeypatch):
    calls = []
    original = visuals.imagined
    monkeypatch.setattr(visuals, 'imagined', lambda *args: calls.append(1) or original(*args))
    # So that the path begins where the robot is, and not where it will be.
    bench.controller(planner__candidates=200, compensate_latency=False)
    bench.until(lambda: len(stats) > 50)
    assert not calls
    paths = bench.listen(Path, 'controller_node/optimal_path')
    clouds = bench.listen(PointCloud2, 'controller_node/candidate_trajectories')
    bench.until(lambda: paths and clouds)
    # The robot stands at the origin; five steps ahead make six poses.
    assert len(paths[0].poses) == 6 and paths[0].header.frame_id == 'odom'
    start = paths[0].poses[0].pose.position
    assert (start.x, start.y, start.z) == (0.0, 0.0, 0.0)
    stamp = stamp_ns(paths[0].header.stamp)
    # A tick without a state, for want of readings in time, has no stamp.
    bench.until(lambda: stamp / 1e9 in [pytest.approx(row.data[0]) for row in stats])
    cloud = clouds[0]
    points = np.frombuffer(bytes(cloud.data), np.float32).reshape(50, 6, 4)
    assert cloud.width == 300 and [f.name for f in cloud.fields] == ['x', 'y', 'z', 'return']
    assert (points[:, 0, :3] == 0).all() and np.ptp(points[:, 1:, 0]) > 0
    assert (points[:, :1, 3] == points[:, :, 3]).all() and np.ptp(points[:, 0, 3]) > 0
