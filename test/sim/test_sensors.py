# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys
import warnings
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot

CHEETAH = load_robot('half_cheetah')
XYZ = ('x', 'y', 'z')

# Two hinges about parallel axes, without gravity or friction: a motor and a servo. The servo is
# critically damped: inertia about the hinge 0.3 (armature) and stiffness 0.3 * 10^2 per rad.
TWO_JOINTS = """
<mujoco>
  <option timestep="0.005" gravity="0 0 0"/>
  <worldbody>
    <body name="driven"><joint name="wheel" axis="0 1 0"/>
      <geom size="0.1" pos="0 0 0.5" mass="1"/></body>
    <body name="held" pos="0 2 0"><joint name="arm" axis="0 1 0" armature="0.3" damping="6"/>
      <geom size="0.01" mass="0.001"/></body>
  </worldbody>
  <actuator>
    <general joint="wheel" gear="2" gainprm="3"/>
    <position joint="arm" gear="2" kp="7.5"/>
  </actuator>
</mujoco>
"""


def robot(folder: Path, **changes: object) -> RobotSpec:
    """A robot file for TWO_JOINTS, as a person would write it."""
    (folder / 'model.xml').write_text(TWO_JOINTS)
    data = {
        'name': 'two_joints',
        'period_s': 0.01,
        'topics': {
            'joint_states': {'type': 'sensor_msgs/msg/JointState', 'timeout_s': 1.0},
            'odom': {'type': 'nav_msgs/msg/Odometry', 'timeout_s': 1.0},
        },
        'state': [
            channel('joint_states', 'position', 'wheel'),
            channel('joint_states', 'effort', 'wheel'),
            channel('joint_states', 'position', 'arm'),
        ],
        'action': action('wheel', 'effort'),
        'safety': {'deadline_s': 1.0, 'decay_s': 1.0},
        'simulation': {'model': str(folder / 'model.xml'), 'physics_steps': 2},
    }
    return parse(RobotSpec, data | changes, 'test')


def channel(topic: str, field: str, joint: str | None = None) -> dict[str, object]:
    return {
        'name': f'{field} {joint}',
        'topic': topic,
        'field': field,
        'joint': joint,
        'unit': '1',
    }


def action(joint: str, field: str) -> dict[str, object]:
    return {
        'topic': 'commands', 'type': 'sensor_msgs/msg/JointState', 'field': field, 'unit': '1',
        'joints': [joint], 'lower': [-9], 'upper': [9], 'rate_limit': [99], 'fallback': [0],
        'timeout_s': 1.0,
    }  # fmt: skip


def ant(topic: str, message: str, fields: list[str]) -> RobotSpec:
    """gymnasium's ant, seen through a pose or an odometry of its free body."""
    return parse(
        RobotSpec,
        {
            'name': 'ant',
            'period_s': 0.05,
            'topics': {topic: {'type': message, 'timeout_s': 1.0}},
            'state': [channel(topic, field) for field in fields],
            'action': action('hip_1', 'effort'),
            'safety': {'deadline_s': 1.0, 'decay_s': 1.0},
            'simulation': {
                'model': 'gymnasium/ant.xml',
                'physics_steps': 5,
                'bodies': {topic: 'torso'},
                'reset_noise': {'position': 0.5, 'velocity': 2.0},
            },
        },
        'test',
    )


def test_the_cheetahs_state_is_computed_from_its_present_position_and_velocity():
    world = World(CHEETAH)
    world.reset(np.random.default_rng(0))
    for command in np.random.default_rng(1).uniform(-1, 1, (40, 6)) * CHEETAH.action.upper:
        world.step(command)
        x, rise, pitch, *joints = world.data.qpos
        forward, upward, pitch_rate, *rates = world.data.qvel
        # World velocity in the torso's frame, which is turned about y by the pitch.
        sine, cosine = np.sin(pitch), np.cos(pitch)
        v_x, v_z = cosine * forward - sine * upward, sine * forward + cosine * upward
        expected = [x, 0.7 + rise, sine, cosine, *joints, v_x, v_z, pitch_rate, *rates]
        actual = encode(CHEETAH, world.signals())
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    assert abs(pitch) > 0.05


def test_the_velocity_of_an_odometry_is_in_the_frame_of_the_body():
    linear = [f'twist.twist.linear.{part}' for part in XYZ]
    angular = [f'twist.twist.angular.{part}' for part in XYZ]
    world = World(ant('odom', 'nav_msgs/msg/Odometry', linear + angular))
    for seed in range(5):
        world.reset(np.random.default_rng(seed))
        world.step(np.array([5.0]))
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, world.data.qpos[3:7])
        # A free joint's linear velocity is in the world's frame, its angular one in the body's.
        in_body = rotation.reshape(3, 3).T @ world.data.qvel[:3]
        expected = np.concatenate([in_body, world.data.qvel[3:6]])
        np.testing.assert_allclose(world.signals(), expected, rtol=0, atol=1e-12)
        assert not np.allclose(in_body, world.data.qvel[:3], atol=0.1)


@pytest.mark.parametrize(
    ('message', 'prefix'),
    [('geometry_msgs/msg/PoseStamped', 'pose'), ('nav_msgs/msg/Odometry', 'pose.pose')],
)
def test_a_pose_is_that_of_the_bodys_origin_in_the_world(message, prefix):
    fields = [f'{prefix}.position.{part}' for part in XYZ]
    fields += [f'{prefix}.orientation.{part}' for part in 'xyzw']
    world = World(ant('pose', message, fields))
    world.reset(np.random.default_rng(0))
    world.step(np.array([5.0]))
    expected = world.data.qpos[[0, 1, 2, 4, 5, 6, 3]]
    np.testing.assert_allclose(world.signals(), expected, rtol=0, atol=1e-12)


def test_an_effort_arrives_at_the_joint_whatever_gear_and_gain(tmp_path):
    world = World(robot(tmp_path))
    world.step(np.array([0.8]))
    # Sphere of 1 kg and radius 0.1 at 0.5 m from the hinge, 0.25 + 0.4 * 0.01 = 0.254 kg m^2, for
    # two steps of 5 ms of the semi-implicit Euler method: angle = a (1 + 2) 0.005^2.
    wheel, effort, arm = world.signals()
    assert effort == pytest.approx(0.8, abs=1e-12)
    assert wheel == pytest.approx(0.8 / 0.254 * 3 * 0.005**2, rel=1e-9)
    assert arm == 0.0


def test_a_servo_goes_where_it_is_sent_whatever_the_gear(tmp_path):
    world = World(robot(tmp_path, action=action('arm', 'position')))
    for _ in range(300):
        world.step(np.array([0.4]))
    assert world.signals()[2] == pytest.approx(0.4, abs=1e-6)


def test_loading_the_cheetah_is_silent(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        model = load_model(CHEETAH)
    assert seen == []
    assert capfd.readouterr() == ('', '')
    assert list(tmp_path.iterdir()) == []
    # settotalmass="14" in the model file.
    assert model.body_mass.sum() == pytest.approx(14.0)


def test_a_model_path_is_relative_to_the_robot_file(tmp_path, monkeypatch):
    folder = tmp_path / 'robots'
    folder.mkdir()
    (tmp_path / 'model.xml').write_text(TWO_JOINTS)
    text = robot(tmp_path).model_dump_json().replace(str(tmp_path / 'model.xml'), '../model.xml')
    (folder / 'mine.yaml').write_text(text)
    monkeypatch.chdir(folder)
    assert load_model(load_robot(str(folder / 'mine.yaml'))).nu == 2
    monkeypatch.chdir('/')
    assert load_model(load_robot(str(folder / 'mine.yaml'))).nu == 2


def test_gymnasiums_models_are_found_without_importing_it():
    program = """
import sys
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.spec.robot import load_robot
assert load_model(load_robot('half_cheetah')).nu == 6
assert 'gymnasium' not in sys.modules
"""
    subprocess.run([sys.executable, '-c', program], check=True, timeout=60)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'simulation': None}, 'two_joints has no simulation section'),
        ({'simulation': {'model': '/none.xml'}}, r'two_joints: MuJoCo cannot load /none\.xml'),
        ({'period_s': 0.02}, 'period_s is 0.02, but physics_steps 2 of 0.005 s each make 0.01'),
        (
            {'action': action('wheels', 'effort')},
            r"two_joints: .*model\.xml has no joint 'wheels' \(did you mean 'wheel'\?\)",
        ),
        (
            {'action': action('arm', 'effort')},
            'the actuator of arm is a servo for a position, and the robot file commands an effort',
        ),
        (
            {'state': [channel('joint_states', 'position', 'wheels')]},
            r"two_joints: .*model\.xml has no joint 'wheels' \(did you mean 'wheel'\?\)",
        ),
        (
            {'state': [channel('joint_states', 'torque', 'wheel')]},
            'no such field of a joint; valid: effort, position, velocity',
        ),
        (
            {'state': [channel('odom', 'pose.pose.position.x')]},
            'simulation.bodies does not say which body odom is about',
        ),
        (
            {'state': [channel('odom', 'pose.pose.position.r')]},
            'odom:pose.pose.position.r: the simulator has no such field',
        ),
        (
            {'state': [channel('odom', 'pose.covariance.x')]},
            'odom:pose.covariance.x: the simulator has no such field',
        ),
    ],
)
def test_a_robot_file_that_the_model_cannot_serve_is_refused_in_one_line(
    tmp_path, changes, message
):
    with pytest.raises(UserError, match=message) as error:
        World(robot(tmp_path, **changes))
    assert '\n' not in str(error.value)


def test_a_body_that_the_model_lacks_is_refused_with_the_closest(tmp_path):
    spec = robot(tmp_path, state=[channel('odom', 'pose.pose.position.x')])
    simulation = spec.simulation.model_copy(update={'bodies': {'odom': 'drivn'}})
    with pytest.raises(UserError, match="no body 'drivn'; did you mean 'driven'"):
        load_model(spec.model_copy(update={'simulation': simulation}))


def test_a_model_file_that_is_damaged_is_refused_in_one_line(tmp_path):
    spec = robot(tmp_path)
    (tmp_path / 'model.xml').write_text(TWO_JOINTS[:300])
    with pytest.raises(UserError, match=r'MuJoCo cannot load .*model\.xml') as error:
        load_model(spec)
    assert '\n' not in str(error.value)
