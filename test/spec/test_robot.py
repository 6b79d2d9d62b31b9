# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The robot file: the order of signals, what a model depends on, and what is refused."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from mbmrl_ros.config import UserError, find_file, parse, read_yaml, share_directory
from mbmrl_ros.robot.command import from_units, to_units
from mbmrl_ros.robot.readings import sensor_reader
from mbmrl_ros.spec.channels import full_topic, read_signal
from mbmrl_ros.spec.robot import RobotSpec, load_robot, robot_names

CART = {
    'name': 'cart',
    'period_s': 0.05,
    'topics': {
        'odom': {'type': 'nav_msgs/msg/Odometry', 'timeout_s': 0.2},
        'joints': {'type': 'sensor_msgs/msg/JointState', 'timeout_s': 0.2},
    },
    'state': [
        {'name': 'x', 'topic': 'odom', 'field': 'pose.pose.position.x', 'unit': 'm',
         'input': False},
        {'name': 'pole', 'topic': 'joints', 'field': 'position', 'joint': 'pole', 'unit': 'rad'},
        {'name': 'sin_yaw', 'topic': 'odom', 'field': 'pose.pose.orientation',
         'encoding': 'sin_yaw', 'unit': '1'},
        {'name': 'cos_yaw', 'topic': 'odom', 'field': 'pose.pose.orientation',
         'encoding': 'cos_yaw', 'unit': '1'},
        {'name': 'sin_pole', 'topic': 'joints', 'field': 'position', 'joint': 'pole',
         'encoding': 'sin', 'unit': '1'},
        {'name': 'pole_rate', 'topic': 'joints', 'field': 'velocity', 'joint': 'pole',
         'unit': 'rad/s'},
    ],
    'action': {
        'topic': 'commands', 'type': 'sensor_msgs/msg/JointState', 'unit': 'N m',
        'joints': ['left', 'right'], 'lower': [-1, -2], 'upper': [1, 2],
        'rate_limit': [10, 20], 'fallback': [0, 0], 'timeout_s': 0.2,
    },
    'safety': {'deadline_s': 0.05, 'decay_s': 0.1, 'limits': {'pole': [-0.5, 0.5]}},
}  # fmt: skip

ODD_NAMES = [
    'robot::hip', 'arm[0]', 'a][', 'left/hip', 'my hip', 'a,b', 'épaule 関節', '50%', '{x}', 'a.b',
    '1e3', 'on', '~', 'kind@3', "it's", 'a"b', '-1', 'a:0.5',
]  # fmt: skip


def cart(**changes: object) -> RobotSpec:
    """Return the cart with `group__key=value` changed."""
    data = copy.deepcopy(CART)
    for path, value in changes.items():
        *groups, leaf = path.split('__')
        target = data
        for group in groups:
            target = target[int(group) if group.isdigit() else group]
        target[leaf] = value
    return parse(RobotSpec, data, 'cart.yaml')


def test_signals_follow_the_channels_and_shared_ones_occur_once():
    quaternion = [f'odom:pose.pose.orientation.{part}' for part in 'wxyz']
    assert cart().signals == (
        'odom:pose.pose.position.x', 'joints:position[pole]', *quaternion, 'joints:velocity[pole]',
    )  # fmt: skip
    assert cart().topic_signals('odom') == ('odom:pose.pose.position.x', *quaternion)
    assert cart().topic_signals('joints') == ('joints:position[pole]', 'joints:velocity[pole]')


def test_sizes_and_places_are_those_of_the_file():
    spec = cart()
    assert (spec.state_size, spec.action_size) == (6, 2)
    assert spec.input_indices == (1, 2, 3, 4, 5), 'x is predicted but not fed to the network'
    assert spec.channel_index('pole_rate') == 5
    with pytest.raises(UserError, match="cart has no channel 'pole_rat'; did you mean 'pole_rate"):
        spec.channel_index('pole_rat')


def test_only_encodings_of_a_quaternion_have_an_angle():
    assert [channel.angle for channel in cart().state] == [None, None, 'yaw', 'yaw', None, None]


def test_the_hash_covers_everything_a_model_depends_on():
    reordered = copy.deepcopy(CART)
    reordered['state'] = [*reordered['state'][1:], reordered['state'][0]]
    changed = [
        parse(RobotSpec, reordered, 'cart.yaml'),
        cart(name='wagon'),
        cart(period_s=0.04),
        cart(state__0__input=True),
        cart(state__1__unit='mrad'),
        cart(state__1__encoding='rate'),
        cart(action__joints=['right', 'left']),
        cart(action__field='velocity'),
        cart(action__upper=[1, 3]),
    ]
    hashes = {spec.hash for spec in (cart(), *changed)}
    assert len(hashes) == 1 + len(changed)


def test_the_hash_ignores_what_a_model_does_not_depend_on():
    same = [
        cart(description='a cart'),
        cart(safety__deadline_s=0.01),
        cart(action__fallback=[0.5, 0]),
        cart(topics__odom__timeout_s=1.0),
        cart(topics__odom__frozen_s=0.1, topics__joints__slow=True),
        cart(plausible={'pole': {'range': [-1, 1], 'step': 0.1}}),
    ]
    assert {spec.hash for spec in same} == {cart().hash}


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'state__1__name': 'x'}, 'channel names must be unique'),
        ({'state__0__topic': 'odometry'}, "channel x: topic 'odometry' is not listed"),
        ({'state__0__joint': 'pole'}, 'channel x: a joint goes with JointState, only'),
        ({'state__1__joint': None}, 'channel pole: a joint goes with JointState, only'),
        (
            {'state__2__encoding': 'sin_jaw'},
            "state.2.encoding: got 'sin_jaw'; did you mean 'sin_yaw'",
        ),
        ({'topics__odom__type': 'Odometry'}, "topics.odom.type: .*got 'Odometry'"),
        ({'topics__odom__timeout_s': 0}, 'topics.odom.timeout_s: .*greater than 0, got 0'),
        ({'action__lower': [-1]}, r'lower needs one value per joint \(2\)'),
        ({'action__fallback': [0, 3]}, 'right: needs lower <= fallback <= upper'),
        ({'action__lower': [1.5, -2]}, 'left: lower is 1.5, above upper, 1'),
        ({'state': []}, 'state: .*at least 1 item'),
        ({'topics': {}}, 'topics: .*at least 1 item'),
        ({'action__joints': []}, 'action.joints: .*at least 1 item'),
        ({'name': 'a/b'}, 'name: .*of folders'),
        ({'name': '..'}, 'name: .*of folders'),
        ({'name': 'a\0b'}, 'name: .*of folders'),
        ({'action__upper': [True, 2]}, r'action.upper: needs numbers.*got \[True, 2\]'),
        ({'safety__limits': {'pole': [False, 1]}}, 'safety.limits: needs numbers'),
        ({'state__1__joint': True}, 'state.1.joint: .*got True: YAML takes on, yes and true'),
        ({'state__1__joint': ''}, 'state.1.joint: a name has one character at least'),
        ({'state__4__unit': 'deg'}, 'channel sin_pole: sin is taken of radians'),
        ({'state__2__unit': 'degrees'}, 'channel sin_yaw: sin_yaw is taken of radians'),
        ({'state__1__unit': 'deg'}, 'channel pole is in deg, and a sine is taken of the same'),
        ({'topics': {'a b': CART['topics']['odom']}}, 'a topic is letters, digits and _'),
        ({'action__topic': '~/commands'}, 'action.topic: a topic is letters'),
        ({'simulation': {'model': 'm.xml', 'bodies': {'odm': 'b'}}}, "no topic 'odm'.*'odom'"),
        ({'simulation': {'model': 'm.xml', 'sensing': {'odm': {}}}}, "no topic 'odm'.*'odom'"),
        ({'action__rate_limit': [10, 0]}, 'action.rate_limit.1: .*greater than 0'),
        ({'action__upper': [float('inf'), 2]}, 'action.upper.0: .*finite'),
        ({'safety__limits': {'pol': [0, 1]}}, "no channel 'pol'; did you mean 'pole'"),
        ({'safety__limits': {'pole': [1, 0]}}, 'safety.limits: pole needs lower < upper'),
        ({'plausible': {'pol': {'step': 1}}}, "plausible: no channel 'pol'; did you mean 'pole'"),
        ({'plausible': {'pole': {'range': [1, 0]}}}, 'plausible.pole: range needs lower < upper'),
        ({'plausible': {'pole': {'step': 0}}}, 'plausible.pole.step: .*greater than 0'),
        (
            {'topics__odom__slow': True, 'topics__joints__slow': True},
            'topics: one at least must not be slow',
        ),
        ({'action__joints': ['left', 'left']}, 'action: joints must be unique'),
        ({'period_s': -0.05}, 'period_s: .*greater than 0, got -0.05'),
        ({'perod_s': 0.1}, "unknown key 'perod_s'; did you mean 'period_s'"),
        ({'action__limit': 3}, "unknown key 'action.limit'"),
    ],
)
def test_an_inconsistent_robot_file_is_refused_in_one_line(changes, said):
    with pytest.raises(UserError, match=f'cart.yaml: .*{said}') as caught:
        cart(**changes)
    assert '\n' not in str(caught.value)


def test_a_joint_may_be_called_anything():
    for joint in ODD_NAMES:
        spec = cart(
            state__1__joint=joint, state__4__joint=joint, action__joints=[joint, f'{joint} 2']
        )
        assert read_signal(spec.state[1].signals[0]) == ('joints', 'position', joint)
        assert spec.topic_signals('joints')[0] == spec.state[1].signals[0]
        read = sensor_reader(spec, 'joints')
        header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0))
        message = SimpleNamespace(
            header=header, name=['pole', joint], position=[3.0, 4.0], velocity=[5.0, 6.0]
        )
        assert read(message, 1.0).values == (4.0, 5.0)


def test_a_leading_slash_makes_a_topic_absolute():
    assert full_topic('odom', 'robots/one') == full_topic('odom', '/robots/one/')
    assert full_topic('odom', 'robots/one') == '/robots/one/odom'
    assert full_topic('odom', '') == full_topic('/odom', 'robots') == '/odom'


def test_a_locked_joint_has_one_command():
    spec = cart(action__lower=[0.5, -2], action__upper=[0.5, 2], action__fallback=[0.5, 0])
    np.testing.assert_array_equal(to_units(spec, np.array([[-1, 1], [1, -1]]))[:, 0], 0.5)
    np.testing.assert_array_equal(from_units(spec, np.array([0.5, 1.0])), [0.0, 0.5])


@pytest.fixture
def package(tmp_path):
    """A package that has one file, outside of any workspace."""
    file = tmp_path / 'prefix' / 'share' / 'my_robot' / 'urdf' / 'a.urdf'
    file.parent.mkdir(parents=True)
    file.write_text('<robot name="a"><link name="base"/></robot>')
    return file


def test_a_file_of_a_package_is_found_by_the_prefixes_and_beside_the_robot(
    tmp_path, monkeypatch, package
):
    name = 'package://my_robot/urdf/a.urdf'
    data = copy.deepcopy(CART) | {'simulation': {'model': name}}
    path = tmp_path / 'here' / 'cart.yaml'
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(data))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/none:{tmp_path / "prefix"}')
    assert load_robot(str(path)).simulation.model == str(package)
    monkeypatch.delenv('AMENT_PREFIX_PATH')
    # The robot itself needs no model: it is missed by whoever asks for it.
    assert load_robot(str(path)).simulation.model == name
    with pytest.raises(
        UserError, match=r'no package my_robot below AMENT_PREFIX_PATH \(not set\)'
    ):
        find_file(name, path.parent)
    (path.parent / 'my_robot').symlink_to(package.parent.parent)
    beside = path.parent.resolve() / 'my_robot' / 'urdf' / 'a.urdf'
    assert load_robot(str(path)).simulation.model == str(beside)
    with pytest.raises(UserError, match=r'the package my_robot \(.*\) has no file urdf/b\.urdf'):
        find_file('package://my_robot/urdf/b.urdf', path.parent)
    assert find_file(f'file://{package}', path.parent) == package
    spaced = package.with_name('a b.urdf')
    package.rename(spaced)
    assert find_file('package://my_robot/urdf/a%20b.urdf', path.parent).samefile(spaced)


def test_a_robot_is_found_by_name_and_by_path(tmp_path):
    assert 'half_cheetah' in robot_names()
    assert load_robot('half_cheetah').name == 'half_cheetah'
    path = tmp_path / 'cart.yaml'
    path.write_text(yaml.safe_dump(CART))
    assert load_robot(str(path)) == cart()


def test_a_robot_may_extend_a_shipped_one_and_one_beside_it_comes_first(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('extends: hopper.yaml\nname: mine\n')
    assert load_robot(str(path)).state == load_robot('hopper').state
    (tmp_path / 'hopper.yaml').write_text(yaml.safe_dump(CART))
    assert load_robot(str(path)).state == cart().state
    path.write_text('extends: hoper.yaml\n')
    with pytest.raises(UserError, match=r'hoper\.yaml'):
        load_robot(str(path))


def test_an_unknown_robot_is_refused_with_the_closest_name():
    with pytest.raises(
        UserError, match="unknown robot 'half_cheeta'; did you mean 'half_cheetah'"
    ):
        load_robot('half_cheeta')
    with pytest.raises(UserError, match='cannot read'):
        load_robot('nowhere/robot.yaml')


def test_the_shipped_cheetah_feeds_everything_but_its_place_on_the_floor():
    spec = load_robot('half_cheetah')
    assert (spec.state_size, spec.action_size, len(spec.input_indices)) == (19, 6, 18)
    assert [channel.name for channel in spec.state if not channel.input] == ['x']
    data = read_yaml(share_directory() / 'config' / 'robots' / 'half_cheetah.yaml')
    assert parse(RobotSpec, data, 'half_cheetah.yaml').hash == spec.hash


def test_the_shipped_bundles_robot_keeps_its_hash():
    assert load_robot('half_cheetah').hash == '6b4d331dc382ae03'


def test_the_millirobot_has_the_channels_of_the_papers_in_their_order():
    spec = load_robot('millirobot')
    assert (spec.state_size, spec.action_size, len(spec.input_indices)) == (24, 2, 22)
    assert [channel.name for channel in spec.state if not channel.input] == ['x', 'y']
    groups = [channel.topic for channel in spec.state]
    expected = ['pose'] * 12 + ['imu'] * 3 + ['joint_states'] * 6 + ['telemetry'] * 3
    assert groups == expected
    rates = [channel.name for channel in spec.state if channel.encoding == 'rate']
    assert rates == ['vx', 'vy', 'vz', 'left_rate', 'right_rate']


def without_deadline(**changes: object) -> RobotSpec:
    data = copy.deepcopy(CART) | changes
    del data['safety']['deadline_s']
    return parse(RobotSpec, data, 'cart.yaml')


def test_without_a_deadline_it_is_two_periods_and_stays_so_when_written():
    for period_s in (0.01, 0.05):
        spec = without_deadline(period_s=period_s)
        assert spec.safety.deadline_s == pytest.approx(2 * period_s) and not spec.doubts
        assert RobotSpec.model_validate(spec.model_dump()) == spec
    with pytest.raises(UserError, match=r'cart\.yaml: period_s: '):
        without_deadline(period_s='fast')
    with pytest.raises(UserError, match=r'cart\.yaml: period_s: '):
        without_deadline(period_s=-1.0)


@pytest.mark.parametrize('name', robot_names())
def test_shipped_robots_have_a_sensible_deadline(name):
    spec = load_robot(name)
    assert not spec.doubts and 1 <= spec.safety.deadline_s / spec.period_s <= 2


@pytest.mark.parametrize(
    ('deadline_s', 'said'),
    [(0.5, '0.5, 10 periods; sensible: 0.025 to 0.25'), (0.01, '0.01, 0.2 periods'),
     (0.22, 'the receiver falls back by itself after action.timeout_s, 0.2')],
)  # fmt: skip
def test_a_deadline_out_of_relation_to_the_period_is_warned_of_once(
    deadline_s, said, tmp_path, caplog
):
    data = copy.deepcopy(CART) | {'period_s': 0.05}
    data['safety']['deadline_s'] = deadline_s
    path = tmp_path / 'cart.yaml'
    path.write_text(yaml.safe_dump(data))
    for _ in range(2):
        load_robot(str(path))
    lines = [record.getMessage() for record in caplog.records if said in record.getMessage()]
    assert len(lines) == 1 and lines[0].startswith(f'{path}: safety.deadline_s is ')
    assert '\n' not in lines[0]


def test_the_way_of_a_topics_messages_is_a_time():
    assert cart(topics__odom__transport_s=0.004).topics['odom'].transport_s == 0.004
    with pytest.raises(UserError, match=r'topics\.odom\.transport_s'):
        cart(topics__odom__transport_s=-0.1)


def test_a_robot_without_a_simulation_may_read_its_own_commands():
    data = copy.deepcopy(CART)
    data['topics']['commands'] = {
        'type': 'sensor_msgs/msg/JointState',
        'timeout_s': 1,
        'slow': True,
    }
    channel = {'topic': 'commands', 'field': 'effort', 'unit': 'N m'}
    data['state'] += [
        {'name': f'last_{joint}', 'joint': joint, **channel} for joint in ('left', 'right')
    ]
    assert parse(RobotSpec, data, 'cart.yaml').topic_signals('commands')


def test_tasks_may_lie_in_folders_and_test_what_they_train_on():
    reward = [{'term': 'alive'}]
    both = {'disturbances': ['disabled_joint:left'], 'held_out': ['disabled_joint:left']}
    tasks = {'run/fast': {'description': 'fast', 'reward': reward, **both}}
    spec = parse(RobotSpec, CART | {'tasks': tasks}, 'cart.yaml')
    assert spec.tasks['run/fast'].held_out == ('disabled_joint:left',)
    for name in ('run/../up', '/run', 'run/', ''):
        with pytest.raises(UserError, match='name of folders'):
            parse(RobotSpec, CART | {'tasks': {name: tasks['run/fast']}}, 'cart.yaml')
