# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller collects data: random commands without a bundle, past the same safety filter."""

import math

import numpy as np
import pytest
import yaml
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.spec.robot import load_robot

WALKER, CHEETAH = load_robot('millirobot'), load_robot('half_cheetah')


@pytest.fixture
def commands(bench):
    return bench.listen(Float64MultiArray, 'commands')


def rows_of(stats):
    return [dict(zip(STATS, message.data)) for message in stats]


def moving(commands):
    return bool(commands) and any(commands[-1].data)


def test_the_millirobot_is_driven_at_random_and_stops_when_it_is_told(bench, commands):
    stats = bench.listen(Float64MultiArray, 'controller_node/stats')
    bench.sim(robot='millirobot')
    bench.controller(robot='millirobot', mode='collect', bundle='', use_sim_time=True)
    bench.until(lambda: len(commands) > 20 and moving(commands))
    bench.until_status('control', lambda text, _: text == 'collecting')
    sent = [tuple(message.data) for message in commands if any(message.data)]
    assert len(set(sent)) == len(sent), 'a new one in every period'
    assert np.min(sent) >= 0 and np.max(sent) <= 800
    row = rows_of(stats)[-1]
    assert math.isnan(row['loss_before']) and not row['adapted'] and row['candidates'] == 0
    bench.call(Trigger, 'controller_node/e_stop')
    bench.until_status('control', lambda text, _: text == 'emergency stop by service')
    assert not moving(commands)
    bench.call(Trigger, 'controller_node/release')
    bench.until(lambda: moving(commands))


def test_outside_of_its_area_it_is_driven_back_and_says_so(bench, commands, tmp_path):
    data = WALKER.model_dump(mode='json')
    # Ten metres off: always outside. Neither turns nor drives there in the time of a test.
    data['collection']['area']['centre'] = [10.0, 0.0]
    robot = tmp_path / 'far.yaml'
    robot.write_text(yaml.safe_dump(data))
    bench.sim(robot=str(robot))
    bench.controller(robot=str(robot), mode='collect', use_sim_time=True)
    bench.until_status('control', lambda text, _: text == 'returning to the centre')
    area = WALKER.collection.area
    bench.until(lambda: moving(commands))
    # Between ahead and turning all commands lie on two lines.
    for left, right in [message.data for message in commands if any(message.data)]:
        turn = area.left if right > left else area.right
        share = (left - area.forward[0]) / (turn[0] - area.forward[0])
        other = area.forward[1] + share * (turn[1] - area.forward[1])
        assert -1e-3 <= share <= 1 + 1e-3 and right == pytest.approx(other, abs=0.1)


def test_a_robot_without_an_area_is_driven_at_random_in_lockstep_and_always_alike(bench):
    applied = bench.listen(JointState, 'sim_node/applied_command')
    bench.sim(lockstep=True)
    node = bench.controller(lockstep=True, mode='collect', bundle='', seed=3)
    bench.until(lambda: len(applied) >= 30)
    first = [list(message.effort) for message in applied[:30]]
    assert len({tuple(values) for values in first}) == 30
    upper = np.array(CHEETAH.action.upper)
    # Of 180 uniform numbers; without rate limits that bind, all of the range is used.
    assert np.abs(first / upper).max() > 0.95 and abs((first / upper).mean()) < 0.2
    assert not any(message.header.frame_id for message in applied[:30])
    bench.call(Trigger, 'controller_node/reset')
    bench.call(Trigger, 'sim_node/reset')
    applied.clear()
    bench.until(lambda: len(applied) >= 30)
    again = [list(message.effort) for message in applied]
    assert first[5] in again, 'the stream of random numbers began anew'
    assert node._topics.controller.candidates == 0


def test_from_collecting_to_control_it_takes_a_reload(bench, robot):
    stats = bench.listen(Float64MultiArray, 'controller_node/stats')
    node = bench.controller(mode='collect', planner__candidates=48)

    def drives_with(candidates: int) -> bool:
        row = rows_of(stats)[-1] if stats else {'fallback': True}
        return not row['fallback'] and row['candidates'] == candidates

    bench.until(lambda: drives_with(0))
    for mode, candidates in (('control', 48), ('collect', 0)):
        [result] = node.set_parameters([Parameter('mode', value=mode)])
        assert result.successful
        assert bench.call(Trigger, 'controller_node/reload').success
        bench.until(lambda candidates=candidates: drives_with(candidates))


def test_nothing_is_predicted_in_the_shadow_without_a_model(bench):
    with pytest.raises(AssertionError, match='shadow mode goes with mode control'):
        bench.controller(mode='collect', shadow=True)
