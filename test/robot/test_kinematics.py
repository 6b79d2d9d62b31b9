# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The PR2's left arm against numbers of the PR2 description, and points as channels of the state.

pr2_left_arm.json was computed by Pinocchio from pr2.urdf of example-robot-data 6.0.0, all other
joints at zero: pose of l_gripper_tool_frame in base_footprint (rotation row by row), diagonal of
the joint-space inertia, torques of gravity. Where that package is installed, its file itself is
compared.
"""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.robot.kinematics import Chain, points_at
from mbmrl_ros.robot.state import StateAssembler, encode
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.types import Reading

pinocchio = pytest.importorskip('pinocchio', reason='points need Pinocchio: pip install pin')
ARM = load_robot('pr2_left_arm')
JOINTS = ARM.action.joints
ROWS = json.loads((Path(__file__).parent / 'pr2_left_arm.json').read_text())
TOOL = 'l_gripper_tool_frame'


@pytest.fixture(scope='module')
def chain():
    return Chain(ARM.kinematics.urdf, JOINTS)


def tool_pose(chain, angles):
    pose = chain.poses(np.asarray(angles))[chain.frame(TOOL)]
    return pose.translation.copy(), pose.rotation.copy()


MIMICS = """<robot name="r"><link name="base"/>{links}
  <joint name="a" type="revolute"><parent link="base"/><child link="la"/><axis xyz="0 1 0"/>
    {limit}</joint>
  <joint name="b" type="continuous"><parent link="la"/><child link="lb"/><axis xyz="0 1 0"/>
    <origin xyz="0 0 -1"/><mimic joint="a" multiplier="-2" offset="0.1"/></joint>
  <joint name="c" type="revolute"><parent link="lb"/><child link="lc"/><axis xyz="0 1 0"/>{limit}
    <origin xyz="0 0 -1"/><mimic joint="b" multiplier="0.5"/></joint>
</robot>"""


def mimicking(folder):
    """Write the URDF of three links of 1 m and 1 kg, of which two joints follow the first."""
    body = (
        '<link name="{}"><inertial><origin xyz="0 0 -0.5"/><mass value="1"/><inertia ixx="1" '
        'iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial></link>'
    )
    links = ''.join(body.format(name) for name in ('la', 'lb', 'lc'))
    path = folder / 'mimics.urdf'
    limit = '<limit lower="-3" upper="3" effort="10" velocity="10"/>'
    path.write_text(MIMICS.format(links=links, limit=limit))
    return path


def test_joints_that_mimic_others_follow_them_also_at_second_hand(tmp_path):
    chain = Chain(str(mimicking(tmp_path)), ('a',))
    # b = 0.1 - 2 a, c = b / 2; a turn about y takes -z towards -x.
    for a in (0.0, 0.3, -1.0):
        turns = np.cumsum([a, 0.1 - 2 * a, 0.05 - a])
        place = chain.poses(np.array([a]))[chain.frame('lc')]
        np.testing.assert_allclose(
            place.translation, [-np.sin(turns[:2]).sum(), 0, -np.cos(turns[:2]).sum()], atol=1e-12
        )
        assert np.arctan2(place.rotation[0, 2], place.rotation[0, 0]) == pytest.approx(turns[2])


def test_a_joint_carries_what_follows_it(tmp_path):
    chain = Chain(str(mimicking(tmp_path)), ('a',))

    def energy(a):
        turns = np.cumsum([a, 0.1 - 2 * a, 0.05 - a])
        heights = -np.cos(turns)
        return 9.81 * (3 * heights[0] + 2 * heights[1] + heights[2] - 0.5 * heights.sum())

    slope = (energy(0.3 + 1e-6) - energy(0.3 - 1e-6)) / 2e-6
    assert chain.gravity(np.array([0.3]))[0] == pytest.approx(slope, rel=1e-6)


def test_a_circle_of_joints_that_mimic_each_other_is_refused(tmp_path):
    path = mimicking(tmp_path)
    path.write_text(path.read_text().replace('mimic joint="a"', 'mimic joint="c"'))
    with pytest.raises(UserError, match=r"joint '[bc]' mimics itself"):
        Chain(str(path), ('a',))


@pytest.mark.parametrize('row', ROWS, ids=range(len(ROWS)))
def test_poses_weights_and_inertias_are_those_of_the_pr2_description(chain, row):
    place, rotation = tool_pose(chain, row['angles'])
    np.testing.assert_allclose(place, row['position'], atol=1e-6)
    np.testing.assert_allclose(rotation.ravel(), row['rotation'], atol=1e-6)
    np.testing.assert_allclose(chain.gravity(np.array(row['angles'])), row['gravity'], atol=1e-5)
    q = chain.configuration(np.array(row['angles']))
    inertia = np.diag(pinocchio.crba(chain.model, chain.data, q))
    np.testing.assert_allclose(inertia, row['inertia'], atol=1e-6)


def description():
    """The model of the whole PR2 with all joints but the arm's locked, or None."""
    try:
        files = importlib.metadata.files('example-robot-data') or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = [str(file.locate()) for file in files if file.name == 'pr2.urdf']
    model = pinocchio.buildModelFromUrdf(found[0])
    others = [model.getJointId(name) for name in list(model.names)[1:] if name not in JOINTS]
    return pinocchio.buildReducedModel(model, others, pinocchio.neutral(model))


def test_limits_and_kinematics_are_those_of_the_pr2_description_itself(chain):
    reference = description()
    if reference is None:
        pytest.skip('pip install example-robot-data (130 MB)')
    data, model = reference.createData(), chain.model
    for name in ('effortLimit', 'velocityLimit', 'lowerPositionLimit', 'upperPositionLimit'):
        np.testing.assert_array_equal(getattr(model, name), getattr(reference, name))
    rng = np.random.default_rng(1)
    for angles in rng.uniform(-np.pi, np.pi, (100, 7)):
        q = chain.configuration(angles)
        pinocchio.framesForwardKinematics(reference, data, q)
        expected = data.oMf[reference.getFrameId(TOOL)]
        place, rotation = tool_pose(chain, angles)
        np.testing.assert_allclose(place, expected.translation, atol=1e-6)
        np.testing.assert_allclose(rotation, expected.rotation, atol=1e-6)


def test_limits_are_those_of_the_pr2(chain):
    # pr2_description, left arm; forearm and wrist roll turn without end.
    lower = [-0.714601836603, -0.5236, -0.8, -2.3213, -1.01, -1.01, -2.094, -1.01, -1.01]
    upper = [2.2853981634, 1.3963, 3.9, 0.0, 1.01, 1.01, 0.0, 1.01, 1.01]
    np.testing.assert_allclose(chain.model.lowerPositionLimit, lower)
    np.testing.assert_allclose(chain.model.upperPositionLimit, upper)
    assert chain.model.effortLimit.tolist() == [30, 30, 30, 30, 30, 10, 10]
    assert chain.model.velocityLimit.tolist() == [2.088, 2.082, 3.27, 3.3, 3.6, 3.078, 3.6]
    assert (np.array(ARM.action.upper) <= chain.model.effortLimit).all()


def test_points_move_rigidly_with_their_frame(chain):
    rng = np.random.default_rng(2)
    positions = rng.uniform(-1.5, 1.5, (3, 4, 7))
    points = points_at(ARM, positions)
    assert {name: point.shape for name, point in points.items()} == dict.fromkeys(
        ('tip', 'left', 'above'), (3, 4, 3)
    )
    for index in np.ndindex(3, 4):
        place, rotation = tool_pose(chain, positions[index])
        np.testing.assert_allclose(points['tip'][index], place)
        np.testing.assert_allclose(points['left'][index], place + rotation @ [-0.1, 0.05, 0])


def test_the_state_has_angles_velocities_and_points():
    assert (ARM.state_size, ARM.action_size) == (23, 7)
    assert len(ARM.signals) == 14, 'points have no signals of their own'
    angles, speeds = np.linspace(-1, 1, 7), np.arange(7.0)
    signals = np.concatenate([angles, speeds])
    state = encode(ARM, signals)
    points = points_at(ARM, angles)
    np.testing.assert_array_equal(
        state, [*signals, *points['tip'], *points['left'], *points['above']]
    )
    assembler = StateAssembler(ARM)
    assert assembler.on_reading(Reading('joint_states', 1.0, 5.0, tuple(signals))) is None
    np.testing.assert_array_equal(assembler.assemble(5.0).state, state)


def changed(**changes):
    data = ARM.model_dump(mode='json')
    for path, value in changes.items():
        *groups, leaf = path.split('__')
        target = data
        for group in groups:
            target = target[int(group) if group.isdigit() else group]
        target[leaf] = value
    return parse(RobotSpec, data, 'arm.yaml')


def test_the_hash_knows_where_the_points_are():
    assert changed().hash == ARM.hash
    assert changed(kinematics__urdf='/elsewhere.urdf').hash == ARM.hash
    assert changed(kinematics__points__tip__at=[0.01, 0, 0]).hash != ARM.hash
    assert changed(state__14__point='left').hash != ARM.hash


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'state__14__point': 'thumb'}, "channel tip_x: kinematics has no point 'thumb'"),
        ({'kinematics': None}, "channel tip_x: kinematics has no point 'tip'"),
        ({'state__14__field': 'position'}, 'of a point are x, y and z'),
        ({'state__14__joint': 'l_elbow_flex_joint'}, 'neither a joint nor an encoding'),
        ({'state__14__encoding': 'sin'}, 'neither a joint nor an encoding'),
    ],
)
def test_a_point_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        changed(**changes)


@pytest.mark.parametrize(
    ('name', 'text', 'said'),
    [
        ('a.urdf', None, 'No such file'),
        ('', None, 'it is a folder'),
        ('a.urdf.xacro', '<robot/>', r'it is a xacro file; expand it \(.*a\.urdf\)'),
        ('a.urdf', '<robot name="r"><link name="${side}_leg"/></robot>', 'it is a xacro file'),
        ('a.urdf', 'version https://git-lfs.github.com/spec/v1', 'git lfs pull'),
    ],
)
def test_a_urdf_that_is_none_is_called_what_it_is(tmp_path, capfd, name, text, said):
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=f'Pinocchio cannot load .*{said}'):
        StateAssembler(changed(kinematics__urdf=str(tmp_path / name)))
    assert capfd.readouterr().err == ''


def test_a_frame_a_joint_or_a_file_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"no frame 'l_gripper'; .*l_gripper_palm_link"):
        StateAssembler(changed(kinematics__points__tip__frame='l_gripper'))
    with pytest.raises(UserError, match=r'Pinocchio cannot load /no/such\.urdf'):
        StateAssembler(changed(kinematics__urdf='/no/such.urdf'))
    with pytest.raises(UserError, match="no joint 'r_elbow_flex_joint'; did you mean 'l_elbow_"):
        Chain(ARM.kinematics.urdf, ('r_elbow_flex_joint',))


def test_a_robot_file_can_extend_another_one(tmp_path):
    base = Path(ARM.kinematics.urdf).parent.parent / 'config' / 'robots' / 'pr2_left_arm.yaml'
    data = yaml.safe_load(base.read_text())
    for section in ('kinematics', 'simulation'):
        data[section] |= {'urdf': ARM.kinematics.urdf} if section == 'kinematics' else {}
    (tmp_path / 'base.yaml').write_text(yaml.safe_dump(data))
    (tmp_path / 'other.yaml').write_text(
        'extends: base.yaml\nname: other\nkinematics: {points: {tip: {at: [0, 0, 1]}}}\n'
    )
    other = load_robot(str(tmp_path / 'other.yaml'))
    assert other.name == 'other' and other.state == ARM.state
    assert other.kinematics.points['tip'].at == (0, 0, 1)
    assert other.kinematics.points['tip'].frame == TOOL
    assert other.kinematics.points['left'] == ARM.kinematics.points['left']


def test_robots_without_points_do_not_import_pinocchio():
    script = (
        'import sys\nfrom mbmrl_ros.spec.robot import load_robot\n'
        'from mbmrl_ros.robot.state import StateAssembler\n'
        "StateAssembler(load_robot('half_cheetah'))\nassert 'pinocchio' not in sys.modules\n"
    )
    subprocess.run([sys.executable, '-c', script], check=True, timeout=60)
