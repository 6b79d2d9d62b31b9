# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The robot file against its MuJoCo model: what does not fit is refused, else it counts."""

from pathlib import Path

import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.sim.batch import BatchWorld
from mbmrl_ros.sim.disturbances import Disturbance, check, disturbed
from mbmrl_ros.sim.disturbances import parse as parse_disturbance
from mbmrl_ros.sim.pose import PoseReader
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec

MOTORS = '<motor name="mhip" joint="hip"/><motor name="mknee" joint="knee"/>'
MODEL = """
<mujoco>
  <compiler {compiler}/><option timestep="0.002" gravity="0 0 0" integrator="implicitfast"/>
  <worldbody>
    <body name="thigh"><joint name="hip" axis="0 1 0" damping="1" {hip}/>
      <geom type="capsule" size="0.05" fromto="0 0 0 0 0 -0.5" contype="0"/>
      <body name="shin" pos="0 0 -0.5"><joint name="knee" {knee}/>
        <geom type="capsule" size="0.05" fromto="0 0 0 0 0 -0.5" contype="0"/></body></body>
    <body name="anchor" pos="2 0 0"><geom size="0.1"/></body>
  </worldbody>
  <actuator>{actuators}</actuator>{more}
</mujoco>
"""
HINGE = 'axis="0 1 0" damping="1"'


def channel(field: str, joint: str, **more: object) -> dict[str, object]:
    unit = {'position': 'rad', 'velocity': 'rad/s', 'effort': 'N m'}[field]
    name = f'{field} {joint}'
    base = {'name': name, 'topic': 'joint_states', 'field': field, 'joint': joint, 'unit': unit}
    return base | more


def robot(
    folder: Path,
    model: dict[str, str] | None = None,
    action: dict[str, object] | None = None,
    simulation: dict[str, object] | None = None,
    **changes: object,
) -> RobotSpec:
    """A leg of two joints, driven by efforts up to 1 N m where nothing else is said."""
    text = {'compiler': '', 'hip': '', 'knee': HINGE, 'actuators': MOTORS, 'more': ''}
    (folder / 'model.xml').write_text(MODEL.format_map(text | (model or {})))
    joints = list((action or {}).get('joints', ['hip', 'knee']))
    of_each = {'lower': -1, 'upper': 1, 'rate_limit': 1000, 'fallback': 0}
    whole = {
        'topic': 'joint_commands', 'type': 'sensor_msgs/msg/JointState', 'field': 'effort',
        'unit': '1', 'joints': joints, 'timeout_s': 1.0,
        **{key: [value] * len(joints) for key, value in of_each.items()},
    }  # fmt: skip
    data = {
        'name': 'leg',
        'period_s': 0.02,
        'topics': {'joint_states': {'type': 'sensor_msgs/msg/JointState', 'timeout_s': 1.0}},
        'state': [channel('position', 'hip'), channel('position', 'knee')],
        'action': whole | (action or {}),
        'safety': {'deadline_s': 1.0, 'decay_s': 1.0},
        'simulation': {
            'model': str(folder / 'model.xml'), 'physics_steps': 10, **(simulation or {})
        },
    }  # fmt: skip
    return parse(RobotSpec, data | changes, 'leg.yaml')


def on_both(element: str) -> str:
    return ''.join(element.format(joint) for joint in ('hip', 'knee'))


POSITION = on_both('<position name="m{0}" joint="{0}" kp="50"/>')
VELOCITY = on_both('<velocity name="m{0}" joint="{0}" kv="5"/>')


@pytest.mark.parametrize(
    ('model', 'changes', 'said'),
    [
        # What the actuator takes.
        ({}, {'field': 'position'}, 'hip is a motor for an effort.* commands a position; say'),
        ({'actuators': POSITION}, {'field': 'velocity'}, 'hip is a servo for a position'),
        ({'actuators': POSITION}, {'field': 'effort'}, 'hip is a servo for a position'),
        ({'actuators': VELOCITY}, {'field': 'position'}, 'hip is a servo for a velocity'),
        (
            {'actuators': on_both('<intvelocity joint="{0}" kp="5" actrange="-9 9"/>')},
            {'field': 'position'}, 'servo for a velocity',
        ),
        *(
            ({'actuators': on_both(element)}, {}, 'is neither a motor nor a servo')
            for element in (
                '<damper joint="{0}" kv="3" ctrlrange="0 1"/>',
                '<muscle joint="{0}" lengthrange="0 1"/>',
                '<general joint="{0}" gainprm="0"/>',
                '<general joint="{0}" gear="0"/>',
                '<general joint="{0}" biastype="affine" biasprm="3 0 0"/>',
                '<general joint="{0}" dyntype="integrator"/>',
                '<general joint="{0}" biastype="affine" biasprm="0 2 0"/>',
            )
        ),
        ({'actuators': ''}, {}, "needs one actuator on joint 'hip'; it has none"),
        ({'more': '<option><flag actuation="disable"/></option>'}, {}, "'mhip' .* does nothing"),
        (
            {
                'actuators': on_both('<motor joint="{0}" group="3"/>'),
                'more': '<option actuatorgroupdisable="3"/>',
            },
            {}, 'of hip does nothing: .* actuatorgroupdisable="3"',
        ),
        ({'actuators': MOTORS + POSITION.replace('name="m', 'name="p')}, {},
         "needs one actuator on joint 'hip'; it has 'mhip', 'phip'"),
        # What it makes of it.
        ({'actuators': on_both('<motor name="m{0}" joint="{0}" ctrlrange="-0.5 1"/>')}, {},
         "hip may be sent -1 to 1 1, and ctrlrange .*'mhip' ends at -0.5 and 1: .* act alike"),
        ({'actuators': on_both('<motor joint="{0}" gear="-4" ctrlrange="-1 0.2"/>')}, {},
         'ends at -0.8 and 4'),
        ({'actuators': on_both('<motor joint="{0}" gear="2" forcerange="-0.4 0.4"/>')}, {},
         'forcerange .* ends at -0.8 and 0.8'),
        ({'hip': 'actuatorfrcrange="-0.9 0.9"'}, {}, 'actuatorfrcrange .* ends at -0.9 and 0.9'),
        ({'actuators': on_both('<position joint="{0}" kp="5" gear="2" ctrlrange="-1 1"/>')},
         {'field': 'position'}, 'ctrlrange .* ends at -0.5 and 0.5'),
        (
            {
                'actuators': on_both(
                    '<general joint="{0}" dyntype="filter" dynprm="0.1" gainprm="5" '
                    'biastype="affine" biasprm="0 -5 -1" actlimited="true" actrange="-0.3 1"/>'
                )
            },
            {'field': 'position'},
            'actrange .* ends at -0.3 and 1',
        ),
        # Names, joints and units.
        ({}, {'joints': ['hop', 'kneee']}, r"'hop' \(did you mean 'hip'\?\), 'kneee' \(did you"),
        ({'knee': 'type="ball"', 'actuators': ''}, {}, "joint 'knee' .* has several coordinates"),
        ({}, {'unit': 'N'}, r"unit of the action \(hip, knee\) is 'N', .* it is N m"),
        ({'knee': 'type="slide" damping="1"'}, {'unit': 'N m'}, r"\(knee\) is 'N m', .* it is N"),
        ({'actuators': POSITION}, {'field': 'position', 'unit': 'deg'}, "'deg', .* it is rad"),
        ({'knee': 'type="slide" damping="1"'}, {}, "channel position knee is 'rad', .* it is m"),
    ],
)  # fmt: skip
def test_a_command_that_the_model_takes_for_something_else_is_refused(
    tmp_path, model, changes, said
):
    with pytest.raises(UserError, match=f'leg: .*{said}') as caught:
        World(robot(tmp_path, model, changes))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('actuator', 'action'),
    [
        # A range that is wider, or as wide but for rounding, or not in force, changes nothing.
        ('<motor joint="{0}" ctrlrange="-2 2"/>', {}),
        ('<motor joint="{0}" gear="3" ctrlrange="-.33333333 .33333333"/>', {}),
        ('<motor joint="{0}" ctrllimited="false" ctrlrange="-.1 .1"/>', {}),
        # A servo has no more force than it has; a cylinder's pressure is a force with a lag.
        ('<position joint="{0}" kp="5" forcerange="-1 1"/>', {'field': 'position', 'unit': 'rad'}),
        ('<cylinder joint="{0}" area="2" timeconst="0.1"/>', {'unit': 'Nm'}),
        ('<motor joint="{0}"/>', {'unit': 'N·m'}),
        ('<motor joint="{0}"/>', {'unit': 'counts'}),
    ],
)
def test_what_fits_is_simulated(tmp_path, actuator, action):
    world = World(robot(tmp_path, {'actuators': on_both(actuator)}, action))
    world.reset(np.random.default_rng(0))
    world.step(np.ones(2))
    assert world.healthy


def test_a_servo_whose_stiffness_is_not_its_gain_goes_where_it_is_sent(tmp_path):
    # 2 u - 8 (3 q) = 0 at u = 12 q.
    servo = '<general joint="{0}" gear="3" gainprm="2" biastype="affine" biasprm="0 -8 -2"/>'
    spec = robot(tmp_path, {'actuators': on_both(servo)}, {'field': 'position'})
    world = World(spec)
    world.reset(np.random.default_rng(0))
    for _ in range(200):
        world.step(np.array([0.5, -0.25]))
    np.testing.assert_allclose(world.signals(), [0.5, -0.25], atol=1e-3)


def test_actuators_without_a_command_keep_what_the_keyframe_gives_them(tmp_path):
    more = '<keyframe><key qpos="0 1" ctrl="0 1"/></keyframe>'
    action = {'field': 'position', 'joints': ['hip']}
    spec = robot(tmp_path, {'actuators': POSITION, 'more': more}, action)
    world, batch = World(spec), BatchWorld(spec, 2)
    world.reset(np.random.default_rng(0))
    batch.reset(np.random.default_rng(0))
    for _ in range(50):
        world.step(np.zeros(1))
        batch.step(np.zeros((2, 1)))
    np.testing.assert_allclose(world.signals(), [0, 1], atol=1e-6)
    np.testing.assert_array_equal(batch.signals(), [world.signals()] * 2)


@pytest.mark.parametrize('more', ['', '<keyframe><key qpos="0.1 0.2" ctrl="0 0.2"/></keyframe>'])
def test_the_robot_files_start_comes_before_the_keyframe_and_is_held(tmp_path, more):
    model = {'actuators': on_both('<position joint="{0}" kp="50" kv="5" gear="2"/>'), 'more': more}
    action = {'field': 'position', 'joints': ['hip']}
    world = World(robot(tmp_path, model, action, {'start': {'knee': -0.7}}))
    world.reset(np.random.default_rng(0))
    np.testing.assert_allclose(world.signals(), [0.1 if more else 0.0, -0.7])
    for _ in range(100):
        world.step(np.zeros(1))
    np.testing.assert_allclose(world.signals(), [0, -0.7], atol=1e-3)


TENDON = '<tendon><fixed name="t"><joint joint="knee" coef="2"/></fixed></tendon>'


@pytest.mark.parametrize(
    ('servo', 'more'),
    [
        ('<position joint="knee" kp="50" kv="5" timeconst="0.3"/>', ''),
        ('<intvelocity joint="knee" kp="50" kv="5" actrange="-3 3"/>', ''),
        ('<position tendon="t" kp="50" kv="5"/>', TENDON),
        (
            '<position joint="knee" kp="50" kv="5"/>',
            '<keyframe><key qpos="0 -0.7" ctrl="0 0"/></keyframe>',
        ),
    ],
)
def test_a_servo_of_any_kind_holds_the_start(tmp_path, servo, more):
    model = {'actuators': '<motor joint="hip"/>' + servo, 'more': more}
    world = World(robot(tmp_path, model, {'joints': ['hip']}, {'start': {'knee': -0.7}}))
    world.reset(np.random.default_rng(0))
    for _ in range(50):
        world.step(np.zeros(1))
    np.testing.assert_allclose(world.signals()[1], -0.7, atol=1e-3)


def test_a_servo_on_a_joint_that_follows_the_start_holds_it_too(tmp_path):
    follows = '<equality><joint joint1="hip" joint2="knee" polycoef="0.1 1 0 0 0"/></equality>'
    model = {'actuators': POSITION, 'more': follows}
    action = {'field': 'position', 'joints': ['knee']}
    world = World(robot(tmp_path, model, action, {'start': {'knee': -0.7}}))
    world.reset(np.random.default_rng(0))
    np.testing.assert_allclose(world.signals(), [-0.6, -0.7])
    for _ in range(50):
        world.step(np.array([-0.7]))
    np.testing.assert_allclose(world.signals(), [-0.6, -0.7], atol=1e-3)


@pytest.mark.parametrize(
    ('model', 'start', 'said'),
    [
        (
            {'more': '<equality><joint joint1="hip" joint2="knee"/></equality>'}, {'hip': 0.5},
            r"'hip' follows another one .* to 0 and not to 0\.5",
        ),
        (
            {'hip': 'range="-28 28"', 'compiler': 'autolimits="true"'}, {'hip': 0.5},
            r"'hip' goes from -0\.488692 to 0\.488692, not to 0\.5",
        ),
    ],
)  # fmt: skip
def test_a_start_where_a_joint_cannot_be_is_refused(tmp_path, model, start, said):
    with pytest.raises(UserError, match=said):
        World(robot(tmp_path, model, simulation={'start': start}))


@pytest.mark.parametrize(
    'asset',
    ['<texture name="t" type="2d" file="{}"/>', '<mesh name="t" file="{}"/>',
     '<skin name="t" file="{}"/>'],
)  # fmt: skip
def test_a_package_that_is_not_there_is_missed_by_assets_of_any_kind(tmp_path, asset):
    more = f'<asset>{asset.format("package://none/x.bin")}</asset>'
    with pytest.raises(UserError, match=r'package://none/x\.bin: no package none'):
        World(robot(tmp_path, {'more': more}))
    more = f'<asset>{asset.format("file:///none/x.bin")}</asset>'
    with pytest.raises(UserError, match='MuJoCo cannot load'):
        World(robot(tmp_path, {'more': more}))


def test_sensors_that_the_model_turns_off_are_read_all_the_same(tmp_path):
    more = '<option><flag sensor="disable"/></option><keyframe><key qpos="0.1 0.2"/></keyframe>'
    world = World(robot(tmp_path, {'more': more}))
    world.reset(np.random.default_rng(0))
    np.testing.assert_allclose(world.signals(), [0.1, 0.2])


def test_bodies_of_motion_capture_are_where_the_keyframe_has_them(tmp_path):
    more = (
        '<worldbody><body name="target" mocap="true"><geom size="0.1" contype="0"/></body>'
        '</worldbody><keyframe><key qpos="0 0" mpos="1 2 3" mquat="0 1 0 0"/></keyframe>'
    )
    world = World(robot(tmp_path, {'more': more}))
    world.reset(np.random.default_rng(0))
    np.testing.assert_array_equal(world.data.body('target').xpos, [1, 2, 3])
    np.testing.assert_array_equal(world.data.body('target').xquat, [0, 1, 0, 0])


def test_names_that_the_simulator_gives_are_not_taken_from_the_model(tmp_path):
    more = '<sensor><jointvel name="joint_states:position[hip]" joint="hip"/></sensor>'
    with pytest.raises(UserError, match=r"has a sensor 'joint_states:position\[hip\]'.*rename"):
        World(robot(tmp_path, {'more': more}))
    more = '<worldbody><site name="origin of thigh" pos="0 0 5"/></worldbody>'
    topics = {
        'joint_states': {'type': 'sensor_msgs/msg/JointState', 'timeout_s': 1.0},
        'pose': {'type': 'geometry_msgs/msg/PoseStamped', 'timeout_s': 1.0},
    }
    z = {'name': 'z', 'topic': 'pose', 'field': 'pose.position.z', 'unit': 'm'}
    simulation = {'bodies': {'pose': 'thigh'}}
    with pytest.raises(UserError, match=r"has a site 'origin of thigh'.*rename"):
        World(robot(tmp_path, {'more': more}, None, simulation, topics=topics, state=[z]))


def test_a_start_leaves_other_joints_where_the_model_has_them_whatever_its_angles_are_in(tmp_path):
    model = {'compiler': 'angle="degree"', 'hip': 'ref="90"'}
    world = World(robot(tmp_path, model, simulation={'start': {'knee': 0.5}}))
    world.reset(np.random.default_rng(0))
    np.testing.assert_allclose(world.signals(), [np.pi / 2, 0.5])


@pytest.mark.parametrize(
    ('attributes', 'knee'),
    [
        ('joint1="knee" joint2="hip" active="false" polycoef="0 1 0 0 0"', -0.7),
        ('joint1="knee" joint2="hip" polycoef="0.1 1 0 0 0"', 0.6),
        # 0.2 + 0.5 - 2 0.25 + 0.125 - 4 0.0625
        ('joint1="knee" joint2="hip" polycoef="0.2 1 -2 1 -4"', 0.075),
        ('joint1="knee" polycoef="0.3 1 0 0 0"', 0.3),
    ],
)
def test_joints_start_where_an_equality_in_force_holds_them(tmp_path, attributes, knee):
    more = f'<equality><joint {attributes}/></equality><keyframe><key qpos="0.5 -0.7"/></keyframe>'
    world = World(robot(tmp_path, {'more': more}))
    world.reset(np.random.default_rng(0))
    np.testing.assert_allclose(world.signals(), [0.5, knee], atol=1e-12)
    for _ in range(20):
        world.step(np.zeros(2))
    np.testing.assert_allclose(world.signals(), [0.5, knee], atol=2e-3)


def test_equalities_that_the_model_turns_off_hold_nothing(tmp_path):
    more = (
        '<option><flag equality="disable"/></option>'
        '<equality><joint joint1="knee" joint2="hip" polycoef="0.1 1 0 0 0"/></equality>'
    )
    world = World(robot(tmp_path, {'more': more}))
    world.reset(np.random.default_rng(0))
    np.testing.assert_array_equal(world.signals(), [0, 0])


def test_odometry_of_a_body_that_cannot_move_is_refused(tmp_path):
    topics = {
        'joint_states': {'type': 'sensor_msgs/msg/JointState', 'timeout_s': 1.0},
        'odom': {'type': 'nav_msgs/msg/Odometry', 'timeout_s': 1.0},
    }
    x = {'name': 'x', 'topic': 'odom', 'field': 'pose.pose.position.x', 'unit': 'm'}
    state = [channel('position', 'hip'), x]
    for body, said in (('anchor', 'which no joint moves; .*freejoint'), ('ancor', "'anchor'")):
        simulation = {'bodies': {'odom': body}}
        with pytest.raises(UserError, match=said):
            World(robot(tmp_path, simulation=simulation, topics=topics, state=state))
    state[1] = x | {'unit': 'mm'}
    with pytest.raises(UserError, match=r"channel x is 'mm', .* it is m;"):
        World(
            robot(tmp_path, simulation={'bodies': {'odom': 'thigh'}}, topics=topics, state=state)
        )


LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize'
JOINT = '<joint name="{0}" type="continuous"><parent link="l"/><child link="{0}"/></joint>'
MESHED = (
    '<robot name="r"><link name="l"><collision><geometry><mesh filename="{}"/></geometry>'
    '</collision></link>' + on_both('<link name="{0}"/>' + JOINT) + '</robot>'
)


@pytest.mark.parametrize(
    ('name', 'text', 'said'),
    [
        ('folder', None, 'it is a folder; name the file in it'),
        ('a.mjb', 'x', 'it is a compiled model'),
        ('a.sdf', '<sdf/>', 'it is an SDF model'),
        ('a.urdf.xacro', '<robot/>', r'it is a xacro file; expand it \(.*xacro .*a\.urdf\)'),
        ('a.urdf', '<robot xmlns:xacro="x"><xacro:include/></robot>', 'it is a xacro file'),
        # To write over the file that is read would empty it.
        ('a.urdf', '<robot xmlns:xacro="x"><xacro:x/></robot>', r'a\.urdf > .*a\.expanded\.urdf'),
        ('a.urdf', '<robot name="r"><link name="${side}_leg"/></robot>', 'it is a xacro file'),
        (
            'a.urdf',
            '<robot name="r"><!-- <xacro:include/> --><link name="l"/></robot>',
            'no joint',
        ),
        ('a.urdf', '<robot name="r"/>', 'the model has no body'),
        ('a.xml', f'{LFS} 1', 'git lfs pull'),
        (
            'a.urdf',
            MESHED.format('model://legs/foot.stl'),
            'model:// is not known here; valid: package',
        ),
        ('a.urdf', MESHED.format('pointer.stl'), 'pointer.stl is a pointer of Git LFS'),
        ('a.xml', '<mujoco><worldbody>', 'MuJoCo cannot load'),
        ('a.xml', '<mujoco><include file="none.xml"/></mujoco>', 'none.xml'),
        ('a.xml', '<robot name="r"><link name="base"/></robot>', 'no joint'),
        ('none.xml', None, 'MuJoCo cannot load .*No such file'),
    ],
)
def test_what_is_no_model_is_said_with_what_to_do(tmp_path, name, text, said):
    path = tmp_path / name
    (tmp_path / 'pointer.stl').write_text(f'{LFS} 684\n')
    if text is not None:
        path.write_text(text)
    elif name == 'folder':
        path.mkdir()
    with pytest.raises(UserError, match=f'leg: .*{said}') as caught:
        World(robot(tmp_path, simulation={'model': str(path)}))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'joint',
    [
        'robot::hip',
        'arm[0]',
        'a][',
        'left/hip',
        'my hip',
        'épaule 関節',
        '50%',
        '{x}',
        '1e3',
        'a:1',
    ],
)
def test_a_joint_of_any_name_is_simulated_drawn_and_broken(tmp_path, joint):
    spec = robot(tmp_path)
    text = (tmp_path / 'model.xml').read_text().replace('"hip"', f'"{joint}"')
    (tmp_path / 'model.xml').write_text(text)
    spec = robot(
        tmp_path, action={'joints': [joint]},
        state=[channel('position', joint), channel('velocity', joint)],
    )  # fmt: skip
    (tmp_path / 'model.xml').write_text(text)
    world = World(spec)
    world.reset(np.random.default_rng(0))
    world.step(np.ones(1))
    assert (world.signals() > 0).all()
    address = world.model.joint(joint).qposadr[0]
    read = PoseReader(spec, world.model).positions(world.signals())
    assert read[address] == world.data.qpos[address]
    for value in (0.0, 0.5):
        broken = Disturbance('disabled_joint', joint, value)
        assert parse_disturbance(str(broken), spec) == broken
        check(spec, broken)
    assert disturbed(spec, world.model, [broken])[1] == [0.5]
