# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What RViz shows, and that it looks where the nodes say it."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path as File
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from nav_msgs.msg import Path
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger

from mbmrl_ros.algorithms.rebal import LEARNER, ReBALConfig
from mbmrl_ros.bundles.dynamics import save_bundle
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.nodes.controller import visuals
from mbmrl_ros.nodes.controller.body_frame import BodyFrame, body_publisher
from mbmrl_ros.nodes.controller.visuals import MOST_POSES, Track, cloud_message
from mbmrl_ros.planners.rollout import imagine
from mbmrl_ros.robot.state import encode
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.positions import position_channels
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.fit_model import ModelTraining
from mbmrl_ros.training.dynamics.publish import untrained_bundle
from mbmrl_ros.types import Root

CONFIG = File(__file__).resolve().parents[3] / 'config'
ROBOT = load_robot('millirobot')
TASKS = {'millirobot': 'millirobot/path', 'pr2_left_arm': 'pr2_left_arm/reach'}
# What robot_state_publisher says; all else comes from our nodes.
OF_OTHERS = {'robot_description'}
MESSAGES = {
    'rviz_default_plugins/Path': Path,
    'rviz_default_plugins/PointCloud2': PointCloud2,
}


def displays(robot: str) -> list[dict]:
    data = yaml.safe_load((CONFIG / f'{robot}.rviz').read_text())
    return data['Visualization Manager']['Displays']


def topics(robot: str) -> dict[str, dict]:
    """Return the displays by their topic."""
    found = {}
    for display in displays(robot):
        topic = display.get('Topic') or display.get('Description Topic')
        if topic:
            found[topic['Value']] = display
    return found


@pytest.mark.parametrize('robot', TASKS)
@pytest.mark.parametrize('namespace', ['', 'bot'])
def test_rviz_looks_at_topics_that_the_controller_publishes(
    bench, make_bundle, tmp_path, robot, namespace
):
    spec = load_robot(robot)
    bundle = make_bundle(tmp_path / 'bundle', spec=spec, task=TASKS[robot])
    node = bench.controller(namespace=namespace, robot=robot, bundle=str(bundle))
    published = {publisher.topic_name: publisher.msg_type for publisher in node.publishers}
    wanted = topics(robot)
    assert set(wanted) >= OF_OTHERS
    prefix = f'/{namespace}/' if namespace else '/'
    for topic in set(wanted) - OF_OTHERS:
        assert published[prefix + topic] is MESSAGES[wanted[topic]['Class']]
    # All that is there to be seen is shown.
    seen = {topic for topic, kind in published.items() if kind in MESSAGES.values()}
    assert seen == {prefix + topic for topic in set(wanted) - OF_OTHERS}


@pytest.mark.parametrize('robot', TASKS)
def test_rviz_shows_in_the_robots_frame_and_colours_candidates_by_return(robot):
    data = yaml.safe_load((CONFIG / f'{robot}.rviz').read_text())
    frame = data['Visualization Manager']['Global Options']['Fixed Frame']
    assert frame == load_robot(robot).frame
    [cloud] = [d for d in displays(robot) if d['Class'].endswith('PointCloud2')]
    fields = cloud_message(np.zeros((1, 2, 3)), np.zeros(1), 0, frame).fields
    assert cloud['Color Transformer'] == 'Intensity'
    assert cloud['Channel Name'] == fields[-1].name == 'return'
    [model] = [d for d in displays(robot) if d['Class'].endswith('RobotModel')]
    # robot_state_publisher latches it.
    assert model['Description Topic']['Durability Policy'] == 'Transient Local'
    for topic, display in topics(robot).items():
        if topic.endswith('followed_path'):
            assert display['Topic']['Durability Policy'] == 'Transient Local'


def test_a_track_is_bounded_thinned_and_begins_anew():
    track = Track('world')
    for step in range(3 * MOST_POSES):
        track.add(0, 0.05 * step, np.array([step, 0.0, 0.0]))
    poses = track.message().poses
    assert len(poses) == MOST_POSES
    # Every second of what comes 20 times a second.
    assert [pose.pose.position.x for pose in poses[-2:]] == [
        3 * MOST_POSES - 4,
        3 * MOST_POSES - 2,
    ]
    track.add(1, 0.0, np.array([7.0, 8.0, 9.0]))
    [pose] = track.message().poses
    place = pose.pose.position
    assert (place.x, place.y, place.z) == (7.0, 8.0, 9.0)
    assert track.message().header.frame_id == pose.header.frame_id == 'world'


def test_of_an_arm_the_first_point_is_shown():
    arm = load_robot('pr2_left_arm')
    names = {axis: arm.state[place].name for axis, place in position_channels(arm).items()}
    assert names == {0: 'tip_x', 1: 'tip_y', 2: 'tip_z'}


def state_and_root(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an exact state of the simulated robot, and the pose of its root: x, y, z, w, ..."""
    world = World(ROBOT)
    rng = np.random.default_rng(seed)
    world.reset(rng)
    for _ in range(20):
        world.step(rng.uniform(0, 800, 2))
    signals, markers = world.signals(), world.data.body('markers')
    exact = {f'position.{axis}': value for axis, value in zip('xyz', markers.xpos)}
    exact |= {f'orientation.{part}': value for part, value in zip('wxyz', markers.xquat)}
    for field, value in exact.items():
        signals[ROBOT.signals.index(f'pose:pose.{field}')] = value
    body = world.data.body('body')
    return encode(ROBOT, signals, np.zeros_like(signals)), np.concatenate([body.xpos, body.xquat])


def test_the_root_of_the_urdf_is_where_the_simulator_has_it():
    pytest.importorskip('pinocchio', reason='the frame needs Pinocchio: pip install pin')
    frame = BodyFrame(ROBOT, position_channels(ROBOT))
    for seed in range(3):
        state, root = state_and_root(seed)
        message = frame.transform(state, 1.5)
        moved, turned = message.transform.translation, message.transform.rotation
        assert [moved.x, moved.y, moved.z] == pytest.approx(root[:3], abs=1e-9)
        quaternion = [turned.w, turned.x, turned.y, turned.z]
        assert abs(np.dot(quaternion, root[3:])) == pytest.approx(1.0, abs=1e-9)
    assert (message.header.frame_id, message.child_frame_id) == ('world', 'body')
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)


class Listened:
    """Stands for a publisher and its node."""

    def __init__(self) -> None:
        self.listeners, self.published, self.topics = 0, [], []
        self.publish = self.published.append

    def publisher(self, kind, topic, depth):
        self.topics.append(topic)
        return self

    def get_subscription_count(self):
        return self.listeners


def test_the_frame_goes_out_on_tf_while_somebody_listens(monkeypatch):
    pytest.importorskip('pinocchio', reason='the frame needs Pinocchio: pip install pin')
    # There is no wheel of tf2_msgs.
    package, messages = ModuleType('tf2_msgs'), ModuleType('tf2_msgs.msg')
    package.__spec__ = ModuleSpec('tf2_msgs', None)
    messages.TFMessage = SimpleNamespace
    monkeypatch.setitem(sys.modules, 'tf2_msgs', package)
    monkeypatch.setitem(sys.modules, 'tf2_msgs.msg', messages)
    resources = Listened()
    show = body_publisher(resources, ROBOT, position_channels(ROBOT))
    state, _ = state_and_root(0)
    show(state, 1.0)
    assert resources.topics == ['/tf'] and not resources.published
    resources.listeners = 1
    show(state, 2.0)
    [message] = resources.published
    assert message.transforms == [BodyFrame(ROBOT, position_channels(ROBOT)).transform(state, 2.0)]
    cheetah = load_robot('half_cheetah')
    assert body_publisher(resources, cheetah, position_channels(cheetah)) is None, 'no URDF'


def test_where_the_robot_has_been_is_shown_until_it_begins_anew(bench, robot):
    bench.controller()
    tracks = bench.listen(Path, 'controller_node/executed_track')
    bench.until(lambda: tracks and len(tracks[-1].poses) >= 5)
    stamps = [p.header.stamp.sec + 1e-9 * p.header.stamp.nanosec for p in tracks[-1].poses]
    # Ticks are 0.01 s apart.
    assert np.diff(stamps).min() > 0.099
    assert tracks[-1].header.frame_id == 'odom'
    longest = len(tracks[-1].poses)
    assert bench.call(Trigger, 'controller_node/reset').success
    count = len(tracks)
    bench.until(lambda: len(tracks) > count and len(tracks[-1].poses) < longest)


def test_what_is_shown_of_a_model_that_remembers_begins_with_what_it_remembers():
    dynamics = build_model(ROBOT, (8,), 'lstm')
    params = dynamics.init(torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(1, ROBOT.state_size, generator=generator)
    carry = torch.randn(1, 1, 16, generator=generator)
    candidates = torch.rand(1, 4, 3, ROBOT.action_size, generator=generator)
    plan = SimpleNamespace(
        actions=candidates[:, 1], candidates=candidates, returns=torch.arange(4.0)[None]
    )
    adapted = SimpleNamespace(params=params)
    decision = SimpleNamespace(
        plan=plan, adapted=adapted, start=start, carry=carry, dynamics=dynamics
    )
    best, shown, returns = visuals.imagined(decision)
    step = dynamics.planning_step(params)
    with torch.no_grad():
        expected = imagine(step, Root(carry, start), candidates)[0]
    torch.testing.assert_close(shown, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(best, expected[1], rtol=1e-4, atol=1e-5)
    assert returns.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize('memory', ['window', 'episode'])
def test_a_node_drives_with_a_model_that_remembers(bench, robot, tmp_path, memory):
    spec, task = load_robot('half_cheetah'), 'half_cheetah/disabled_joint'
    config = ReBALConfig(
        past_steps=8, future_steps=8, hidden_sizes=(16,), recurrent={'memory': memory},
        control_planner={'candidates': 16, 'horizon': 5},
    )  # fmt: skip
    save_bundle(
        tmp_path / 'rebal', untrained_bundle(ModelTraining(LEARNER, spec, config, 0), task)
    )
    bench.controller(bundle=str(tmp_path / 'rebal'), adaptation='rebal')
    clouds = bench.listen(PointCloud2, 'controller_node/candidate_trajectories')
    bench.until(lambda: len(clouds) >= 3)
    points = np.frombuffer(bytes(clouds[-1].data), np.float32).reshape(16, 6, 4)
    assert np.isfinite(points).all()


def test_candidates_that_are_not_finite_are_not_shown(bench, robot, monkeypatch):
    original = visuals.imagined

    def spoiled(*arguments):
        best, candidates, returns = original(*arguments)
        returns[::2] = -np.inf
        return best, candidates, returns

    monkeypatch.setattr(visuals, 'imagined', spoiled)
    bench.controller(planner__candidates=20)
    clouds = bench.listen(PointCloud2, 'controller_node/candidate_trajectories')
    bench.until(lambda: clouds)
    points = np.frombuffer(bytes(clouds[0].data), np.float32).reshape(10, 6, 4)
    assert np.isfinite(points).all()
