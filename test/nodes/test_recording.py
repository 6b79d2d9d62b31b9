# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recording, playing back, and a controller in the shadow of a recording."""

import errno
import itertools
import math
import os
import resource
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from mbmrl_ros.data.bags import Bag
from mbmrl_ros.nodes.common.messages import MESSAGES, stamp_ns
from mbmrl_ros.nodes.controller.report import STATS
from mbmrl_ros.nodes.recording import player_node, recorder_node
from mbmrl_ros.nodes.recording.recorder import BagRecorder
from mbmrl_ros.recordings.cut import read_recordings
from mbmrl_ros.spec.robot import load_robot

CHEETAH, WALKER = load_robot('half_cheetah'), load_robot('millirobot')
RATE_HZ, COUNT = 500, 1500


def record(bench, folder, **parameters):
    return bench._start(recorder_node.make_node, {}, {'out': str(folder)} | parameters, '')


def play(bench, bag, **parameters):
    defaults = {'bag': str(bag), 'robot': 'millirobot'}
    return bench._start(player_node.make_node, defaults, parameters, '')


def until_connected(bench, *publishers):
    bench.until(lambda: all(p.get_subscription_count() for p in publishers), 'nobody listens')


@pytest.mark.timing
def test_nothing_is_lost_or_changed_at_500_messages_a_second(bench, tmp_path):
    topics = {name: MESSAGES[topic.type] for name, topic in CHEETAH.topics.items()}
    topics['joint_commands'] = JointState
    publishers = {
        name: bench.node.create_publisher(kind, name, QoSProfile(depth=1000))
        for name, kind in topics.items()
    }
    recorder = record(bench, tmp_path / 'bag')
    until_connected(bench, *publishers.values())
    sent = {name: [] for name in topics}

    def publish():
        begin = time.monotonic()
        for number in range(COUNT):
            time.sleep(max(0.0, begin + number / RATE_HZ - time.monotonic()))
            name = list(topics)[number % len(topics)]
            message = topics[name]()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(number, 1000)
            message.header.frame_id = 'x' * (number % 50)
            # As bytes: padding is memory that nobody set, and differs from one time to the next.
            sent[name].append(serialize_message(message))
            publishers[name].publish(sent[name][-1])

    thread = threading.Thread(target=publish)
    thread.start()
    counts = recorder._topics._recorder.counts
    bench.until(lambda: sum(counts.values()) == COUNT, 'messages are missing')
    thread.join()
    recorder.trigger_deactivate()
    assert sum(1 for _ in (tmp_path / 'bag').glob('*.mcap')) == 1
    found = list(Bag(tmp_path / 'bag').messages({f'/{name}' for name in topics}))
    for name, messages in sent.items():
        raw = [message.raw for message in found if message.topic == f'/{name}']
        assert len(messages) == COUNT // len(topics)
        assert raw == messages
    log_ns = [message.log_ns for message in found]
    assert log_ns == sorted(log_ns)
    # Dated by arrival: the whole of it took as long as it took to send.
    assert (log_ns[-1] - log_ns[0]) / 1e9 == pytest.approx((COUNT - 1) / RATE_HZ, abs=0.5)


def test_a_best_effort_sensor_and_a_topic_that_comes_later_are_recorded(bench, tmp_path):
    record(bench, tmp_path / 'bag', also=['notes', 'never'])
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    odom = bench.node.create_publisher(MESSAGES['nav_msgs/msg/Odometry'], 'odom', best_effort)
    notes = bench.node.create_publisher(String, 'notes', 10)
    until_connected(bench, odom, notes)
    bench.node.create_timer(0.01, lambda: odom.publish(MESSAGES['nav_msgs/msg/Odometry']()))
    notes.publish(String(data='slope'))
    bench.until_status(
        'recorder',
        lambda text, values: (
            int(values['messages: /odom']) > 5 and values['messages: /notes'] == '1'
            and text == 'recording, without: /e_stop, /joint_commands, /joint_states, /never'
        ),
    )  # fmt: skip


def test_the_quality_of_service_of_publishers_is_in_the_bag(bench, tmp_path):
    recorder = record(bench, tmp_path / 'bag', also=['map'])
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    notes = bench.node.create_publisher(String, 'map', latched)
    bench.node.create_publisher(MESSAGES['nav_msgs/msg/Odometry'], 'odom', best_effort)
    notes.publish(String(data='field'))
    counts = recorder._topics._recorder.counts
    bench.until(lambda: counts['/map'] and len(recorder._topics._subscriptions) == 2, 'no map')
    recorder.trigger_deactivate()
    bag = Bag(tmp_path / 'bag')
    assert [message.data.data for message in bag.messages({'/map'})] == ['field']
    assert bag.latched == {'/map'}
    with Reader(tmp_path / 'bag') as reader:
        offered = {c.topic: c.ext.offered_qos_profiles for c in reader.connections}
    assert [profile.durability.name for profile in offered['/map']] == ['TRANSIENT_LOCAL']
    assert [profile.reliability.name for profile in offered['/odom']] == ['BEST_EFFORT']


def test_a_recorder_that_is_killed_leaves_what_it_had(bench, robot, tmp_path):
    process = bench.process('recorder_node', out=str(tmp_path / 'bag'))
    bench.until(lambda: list((tmp_path / 'bag').glob('*.mcap')), 'no bag')
    bench.until_status('recorder', lambda text, values: int(values['messages: /odom']) > 300)
    process.send_signal(signal.SIGKILL)
    process.wait()
    bag = Bag(tmp_path / 'bag')
    stamps = [stamp_ns(message.data.header.stamp) for message in bag.messages({'/odom'})]
    # What the last status counted had been written before it.
    assert bag.damage and len(stamps) > 300
    steps = {b - a for a, b in itertools.pairwise(stamps)}
    assert steps == {10_000_000}, 'one after the other, none left out'


def test_a_recorder_that_is_stopped_closes_its_bag(bench, robot, tmp_path):
    process = bench.process('recorder_node', out=str(tmp_path / 'bag'))
    bench.until_status('recorder', lambda text, values: int(values['messages: /odom']) > 20)
    process.send_signal(signal.SIGINT)
    assert process.wait(20.0) == 0
    bag = Bag(tmp_path / 'bag')
    assert '/odom' in bag.topics and bag.damage == ''


def full_disk(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullDisk:
    """A file of which the first bytes of the next text are written, and no more."""

    def __init__(self, file):
        self._file = file

    def write(self, text):
        self._file.write(text[:10])
        full_disk()

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.fixture
def written(tmp_path):
    """A bag of two chunks of 30 messages on two topics, and what writes another message."""
    callbacks, stamps = {}, itertools.count()
    node = SimpleNamespace(
        create_subscription=lambda kind, topic, write, *_, **__: callbacks.setdefault(topic, write)
    )
    topics = {'/odom': MESSAGES['nav_msgs/msg/Odometry'], '/joint_states': JointState}
    recorder = BagRecorder(node, tmp_path / 'bag', topics, now_ns=lambda: next(stamps))

    def write(count):
        for number in range(count):
            topic = list(topics)[number % 3 == 0]
            callbacks[topic](serialize_message(topics[topic]()))

    for _ in range(2):
        write(30)
        recorder.flush()
    return recorder, write


@pytest.mark.parametrize('index', [True, False], ids=['indexed', 'no space for an index'])
def test_a_disk_that_is_full_leaves_a_bag_that_ends_before(written, tmp_path, monkeypatch, index):
    recorder, write = written
    storage = recorder._storage
    storage.bio = FullDisk(storage.bio)
    if not index:
        monkeypatch.setattr(recorder._writer, 'close', full_disk)
    write(30)
    recorder.flush()
    write(30)
    recorder.close()
    assert recorder.problem == 'cannot write on: No space left on device; free some space'
    assert recorder.counts == {'/odom': 40, '/joint_states': 20}
    bag = Bag(tmp_path / 'bag')
    assert not (index and bag.damage)
    found = Counter(message.topic for message in bag.messages(set(recorder.counts)))
    assert found == recorder.counts
    assert {path.name for path in (tmp_path / 'bag').iterdir()} == (
        {'bag.mcap', 'metadata.yaml'} if index else {'bag.mcap'}
    )


def test_a_bag_without_metadata_for_lack_of_space_is_whole(written, tmp_path, monkeypatch):
    recorder, _ = written
    monkeypatch.setattr(Path, 'write_text', full_disk)
    recorder.close()
    assert recorder.problem.startswith('cannot finish the bag: No space left')
    monkeypatch.undo()
    bag = Bag(tmp_path / 'bag')
    assert bag.damage == '' and len(list(bag.messages({'/odom', '/joint_states'}))) == 60


@pytest.mark.skipif(not hasattr(resource, 'prlimit'), reason='limits the files of a process')
def test_a_recorder_that_cannot_write_on_ends_with_an_error(bench, robot, tmp_path):
    process = bench.process('recorder_node', out=str(tmp_path / 'bag'))
    bench.until_status('recorder', lambda text, values: int(values['messages: /odom']) > 100)
    [file] = (tmp_path / 'bag').glob('*.mcap')
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file.stat().st_size + 20_000,) * 2)
    bench.until(lambda: process.poll() is not None, 'it goes on')
    assert process.returncode == 2
    assert 'recorder_node: cannot write on: File too large' in bench.output()
    assert 'space' not in bench.output() and 'Traceback' not in bench.output()
    bag = Bag(tmp_path / 'bag')
    stamps = [stamp_ns(message.data.header.stamp) for message in bag.messages({'/odom'})]
    assert len(stamps) > 100 and {b - a for a, b in itertools.pairwise(stamps)} == {10_000_000}


def test_a_folder_that_exists_is_left_alone(bench, tmp_path):
    process = bench.process('recorder_node', out=str(tmp_path))
    assert process.wait(20.0) == 2
    assert 'a recording needs a folder of its own' in bench.output()


@pytest.fixture(scope='module')
def walk(walks, tmp_path_factory):
    folder = tmp_path_factory.mktemp('walk')
    return {name: walks.write_bag(folder / name, walks.walk(30), name) for name in walks.PLUGINS}


@pytest.mark.parametrize('storage', ['mcap', 'sqlite'])
def test_a_bag_comes_back_on_the_topics_of_its_robot_with_its_own_clock(
    bench, walks, walk, storage
):
    heard = {
        name: bench.listen(MESSAGES[topic.type], name) for name, topic in WALKER.topics.items()
    }
    commands = bench.listen(Float64MultiArray, 'commands')
    clock = bench.listen(Clock, '/clock')
    player = play(bench, walk[storage], rate=10.0)
    bench.until(lambda: not player._topics._playing, 'it does not end')
    bench.until(lambda: len(heard['pose']) >= 25, 'poses are missing')
    rows = {round(row.stamp_s * 1e9): row for row in walks.walk(30)}
    for message in heard['pose']:
        row = rows[stamp_ns(message.header.stamp)]
        assert message.pose.position.x == row.place[0]
    assert commands == [], 'commands stay in the bag unless asked for'
    times = [stamp_ns(message.clock) for message in clock]
    assert times == sorted(times)
    assert min(rows) - 5e8 < times[0] and times[-1] <= max(rows) + 5e8


def test_played_at_another_rate_it_takes_another_time_and_in_a_loop_it_goes_on(bench, walk):
    began = time.monotonic()
    player = play(bench, walk['mcap'], rate=5.0, loop=True)
    topics = player._topics
    bench.until(lambda: topics.played >= topics._messages.__len__(), 'not once')
    # 2.9 s at five times the pace.
    assert time.monotonic() - began > 2.9 / 5
    bench.until(lambda: topics.played > 1.5 * len(topics._messages), 'not again')


def test_restamped_messages_are_of_the_present_and_the_clock_is_left_alone(bench, walk):
    poses = bench.listen(MESSAGES['geometry_msgs/msg/PoseStamped'], 'pose')
    clock = bench.listen(Clock, '/clock')
    play(bench, walk['mcap'], rate=10.0, restamp=True)
    bench.until(lambda: len(poses) > 5, 'no poses')
    now = bench.node.get_clock().now().nanoseconds
    assert all(abs(now - stamp_ns(pose.header.stamp)) < 60e9 for pose in poses)
    assert clock == []


def with_commands(walks, folder, kind, raws, latched=()):
    """Write a walk whose commands are these bytes, said to be of a type."""
    kept = Qos(
        QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
        QosTime(0, 0), QosTime(0, 0), QosLiveliness.AUTOMATIC, QosTime(0, 0), False,
    )  # fmt: skip
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(
                f'/millirobot/{topic}',
                kind if topic == 'commands' else walks.TYPES[topic],
                typestore=walks.STORE,
                offered_qos_profiles=[kept] * (topic in latched),
            )
            for topic in walks.TYPES
        }
        for row, command in zip(walks.walk(len(raws)), raws):
            for topic, message in walks.messages(row).items():
                raw = walks.STORE.serialize_cdr(message, walks.TYPES[topic])
                if topic == 'commands' and command is not None:
                    raw = command
                writer.write(connections[topic], round(row.at_s * 1e9), bytes(raw))
    return folder


def test_commands_of_another_type_are_not_played(bench, walks, tmp_path):
    bag = with_commands(walks, tmp_path / 'walk', 'sensor_msgs/msg/JointState', [None] * 5)
    with pytest.raises(
        AssertionError,
        match=r'commands is sensor_msgs/msg/JointState, .* as std_msgs/msg/Float64MultiArray',
    ):
        play(bench, bag, commands=True)


def test_bytes_that_are_no_command_are_not_played(bench, walks, tmp_path):
    kind = walks.TYPES['commands']
    bag = with_commands(walks, tmp_path / 'walk', kind, [None, b'\0\1\0\0\7', b'', None])
    commands = bench.listen(Float64MultiArray, 'commands')
    player = play(bench, bag, rate=5.0, commands=True)
    bench.until(lambda: not player._topics._playing, 'it does not end')
    bench.until(lambda: len(commands) == 2, 'commands are missing')
    assert sum(m.topic.endswith('commands') for m in player._topics._messages) == 2


def test_a_topic_that_was_latched_is_latched_again(bench, walks, tmp_path):
    bag = with_commands(
        walks, tmp_path / 'walk', walks.TYPES['commands'], [None] * 3, latched={'pose'}
    )
    player = play(bench, bag, rate=50.0)
    bench.until(lambda: not player._topics._playing, 'it does not end')
    late = []
    profile = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    kind = MESSAGES['geometry_msgs/msg/PoseStamped']
    bench.node.create_subscription(kind, 'pose', late.append, profile)
    bench.until(lambda: len(late) == 3, 'who comes late gets nothing')


def test_a_player_ends_with_its_bag(bench, walk):
    process = bench.process('player_node', bag=str(walk['mcap']), robot='millirobot', rate=20.0)
    assert process.wait(20.0) == 0
    assert '150 messages' not in bench.output() and '120 messages in' in bench.output()


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ({}, 'which bag?'),
        ({'bag': 'nowhere'}, 'no bag nowhere'),
        ({'robot': 'half_cheetah'}, 'no namespace has the topics odom'),
    ],
)
def test_a_bag_that_cannot_be_played_is_refused(bench, walk, given, said):
    defaults = {'bag': str(walk['mcap'])} if 'robot' in given else {}
    process = bench.process('player_node', **(defaults | given))
    assert process.wait(20.0) == 2 and said in bench.output()


def rows_of(stats):
    return [dict(zip(STATS, message.data)) for message in stats]


def test_in_the_shadow_of_a_bag_a_controller_plans_and_scores_and_moves_nothing(
    bench, walks, make_bundle, tmp_path
):
    bundle = make_bundle(tmp_path / 'bundle', spec=WALKER, task='millirobot/path', past_steps=4)
    bag = walks.write_bag(tmp_path / 'walk', walks.walk(60))
    driven = bench.listen(Float64MultiArray, 'commands')
    shadow = bench.listen(Float64MultiArray, 'controller_node/shadow_commands')
    stats = bench.listen(Float64MultiArray, 'controller_node/stats')
    bench.controller(bundle=str(bundle), robot='millirobot', shadow=True, use_sim_time=True)
    play(bench, bag, commands=True, loop=True)

    def scored():
        return [row for row in rows_of(stats) if math.isfinite(row['prediction_loss'])]

    bench.until(lambda: len(scored()) > 5, 'no prediction was scored')
    bench.until(
        lambda: any(math.isfinite(row['loss_before']) for row in scored()),
        'windows of what was recorded never fill up',
    )
    # The model's statistics are of no unit: what changes by 1 in a period has a loss of 1.
    for row in scored():
        assert row['no_change_loss'] > 0 and row['prediction_loss'] > 0
    assert len(shadow) > 5
    recorded = {row.command for row in walks.walk(60)}
    assert driven and {tuple(message.data) for message in driven} <= recorded, (
        'nobody but the bag says what the motors do'
    )


def test_shadow_mode_refuses_lockstep(bench):
    with pytest.raises(AssertionError, match='shadow mode goes with compensate_latency'):
        bench.controller(shadow=True, lockstep=True)


def test_what_was_recorded_becomes_a_dataset(bench, walks, walk, tmp_path):
    """Bag -> player -> recorder -> bag: the same states."""
    record(bench, tmp_path / 'copy', robot='millirobot')
    player = play(bench, walk['mcap'], commands=True, restamp=True)
    counts = bench._nodes[0]._topics._recorder.counts
    bench.until(lambda: not player._topics._playing, 'it does not end')
    bench.until(lambda: counts['/pose'] >= 20, 'poses are missing')
    bench._nodes[0].trigger_deactivate()
    manifest, sessions = read_recordings([Bag(tmp_path / 'copy')], WALKER)
    assert not manifest.unreadable and manifest.total.transitions >= 15
    for trajectory in sessions[0].trajectories:
        steps = trajectory.states[1:, 0] - trajectory.states[:-1, 0]
        assert (steps - walks.SPEED * walks.PERIOD_S).abs().max() < 1e-3
