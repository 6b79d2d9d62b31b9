# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags to trajectories: what is kept, what is cut and why, and that the seconds add up."""

import copy
import dataclasses
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from rosbags.rosbag2 import StoragePlugin, Writer

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import Bag, find_bags
from mbmrl_ros.recordings.control_steps import find_topics
from mbmrl_ros.recordings.cut import REASONS, chief_reason, read_recordings
from mbmrl_ros.robot.readings import sensor_reader
from mbmrl_ros.robot.state import StateAssembler
from mbmrl_ros.spec.robot import RobotSpec, load_robot

SPEC = load_robot('millirobot')
STEPS = 60


class Read:
    """What a bag of these rows came to."""

    def __init__(self, walks, folder, rows, spec=SPEC, storage='mcap', **options):
        bag = walks.write_bag(folder / 'walk', rows, storage)
        self.manifest, self.sessions = read_recordings([Bag(bag)], spec, **options)
        self.account = self.manifest.sessions[0]
        self.trajectories = self.sessions[0].trajectories
        self.dropped = {k: round(v, 6) for k, v in self.account.dropped_s.items() if v > 1e-6}

    def channel(self, name, piece=0):
        return self.trajectories[piece].states[:, SPEC.channel_index(name)].numpy()

    @property
    def lengths(self):
        return [trajectory.steps for trajectory in self.trajectories]


@pytest.fixture
def read(walks, tmp_path):
    return lambda rows, **options: Read(walks, tmp_path, rows, **options)


def test_of_a_clean_walk_all_is_kept_but_the_state_without_a_rate(read, walks):
    walk = read(walks.walk(STEPS))
    assert walk.lengths == [STEPS - 2]
    assert walk.account.seconds == pytest.approx((STEPS - 1) * 0.1)
    assert walk.account.kept_s == pytest.approx((STEPS - 2) * 0.1)
    assert walk.dropped == {'no rate': 0.1}
    assert walk.account.messages == dict.fromkeys(walks.TYPES, STEPS)
    times = 0.1 * np.arange(1, STEPS)
    np.testing.assert_allclose(walk.channel('x'), walks.SPEED * times, atol=2e-5)
    np.testing.assert_allclose(walk.channel('vx'), walks.SPEED, atol=1e-3)
    np.testing.assert_allclose(walk.channel('left_rate'), walks.TURN, atol=1e-4)
    np.testing.assert_allclose(walk.channel('cos_left'), np.cos(walks.TURN * times), atol=1e-4)
    np.testing.assert_allclose(walk.channel('battery'), 900.0)


def test_states_are_those_that_the_robots_assembler_makes_of_the_same_messages(read, walks):
    rng, rows = np.random.default_rng(0), walks.walk(STEPS)
    for row in rows:
        row.rates = tuple(rng.normal(size=3))
        angle = rng.normal() * 0.1
        row.turn = (math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2))
    walk = read(rows)
    assembler, states = StateAssembler(SPEC), []
    for row in rows:
        for topic, message in walks.messages(row).items():
            if topic in SPEC.topics:
                reading = sensor_reader(SPEC, topic)(message, row.at_s, row.at_s)
                assert assembler.on_reading(reading) is None
        assembler.begin_period(row.at_s)
        states.append(assembler.assemble(row.at_s).state)
    assert states[0] is None
    expected = torch.from_numpy(np.stack(states[1:])).float()
    assert torch.equal(walk.trajectories[0].states, expected)


def test_actions_are_the_commands_in_effect_after_the_robots_latency(read, walks):
    rows = walks.walk(STEPS)
    walk = read(rows)
    commands = np.array([row.command for row in rows])
    # Of the 0.1 s from one state to the next, 30 ms are still under the command before.
    shares = SPEC.latency_s / 0.1
    expected = commands[1:-1] * (1 - shares) + commands[:-2] * shares
    found = (walk.trajectories[0].actions.numpy() + 1) * 400.0
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite'])
def test_both_storages_give_the_same(read, walks, storage, tmp_path):
    walk = Read(walks, tmp_path / 'a', walks.walk(STEPS), storage=storage)
    other = read(walks.walk(STEPS))
    assert torch.equal(walk.trajectories[0].states, other.trajectories[0].states)
    assert walk.account == other.account


def test_a_pause_ends_a_trajectory_and_the_next_starts_with_a_rate_again(read, walks):
    rows = walks.walk(30) + walks.walk(30, start_s=walks.START_S + 10.0)
    walk = read(rows)
    assert walk.lengths == [28, 28]
    # From the last row at 2.9 s to the first of the second part at 10 s.
    assert walk.dropped == {'gap': 7.1, 'no rate': 0.2}


@pytest.mark.parametrize('topic', ['pose', 'joint_states', 'imu', 'telemetry'])
def test_a_message_that_was_lost_cuts_there(read, walks, topic):
    rows = walks.walk(STEPS)
    rows[30].silent = {topic}
    walk = read(rows)
    assert sum(walk.dropped.values()) < 0.55
    assert len(walk.lengths) == 2 and sum(walk.lengths) >= STEPS - 2 - 4


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_a_value_that_is_not_finite_cuts_there_and_is_counted(read, walks, bad):
    rows = walks.walk(STEPS)
    rows[30].place[1] = bad
    walk = read(rows)
    assert walk.account.refused == {'pose: value is not finite': 1}
    # The state before it is the last; 31 has no rate, as pose was last seen 0.2 s before.
    assert walk.lengths == [28, STEPS - 33]
    assert walk.dropped == {'no rate': 0.2, 'refused': 0.2}
    assert all(torch.isfinite(t.states).all() for t in walk.trajectories)


def test_motion_capture_that_stands_still_is_cut(read, walks):
    rows = walks.walk(STEPS)
    for row in rows[30:34]:
        row.place = rows[29].place
    walk = read(rows)
    # 30 to 33 repeat 29; 34 is the first that is new, 35 has a rate again.
    assert walk.lengths == [28, STEPS - 36]
    assert walk.dropped == {'frozen': 0.5, 'no rate': 0.2}


def test_a_jump_is_cut_there_and_back(read, walks):
    rows = walks.walk(STEPS)
    rows[30].place = rows[30].place + np.array([0.7, 0.0, 0.0])
    walk = read(rows)
    # There at 30 and back at 31; the transitions from 29 to 32 go.
    assert walk.lengths == [28, STEPS - 33]
    assert walk.dropped == {'jump': 0.3, 'no rate': 0.1}


def test_markers_of_another_body_are_cut(read, walks):
    rows = walks.walk(STEPS)
    for row in rows[:30]:
        row.place = row.place + np.array([0.0, 0.0, 0.8])
    walk = read(rows)
    assert walk.dropped['range'] == pytest.approx(2.9) and walk.lengths == [STEPS - 32]


def test_repeated_and_irregular_stamps_are_cut(read, walks):
    rows = walks.walk(STEPS)
    rows[20].stamp_s = rows[19].stamp_s
    rows[40].stamp_s += 0.06
    walk = read(rows)
    # Pose has no rate at 21, 0.2 s after the last; 40 is 0.16 s after 39, and 41 is 0.04 s later.
    assert walk.dropped['duplicate'] == pytest.approx(0.1)
    assert walk.account.kept_s == pytest.approx(sum(walk.lengths) * 0.1)
    assert len(walk.lengths) == 3
    for trajectory in walk.trajectories:
        speeds = trajectory.states[:, SPEC.channel_index('vx')]
        assert (speeds < 2 * walks.SPEED).all(), 'no speed over a false time'


def test_a_state_that_is_sent_again_is_one_state(read, walks):
    rows = walks.walk(STEPS)
    again = dataclasses.replace(rows[30], at_s=rows[30].at_s + 0.02, silent={'commands'})
    walk = read([*rows[:31], again, *rows[31:]])
    assert walk.lengths == [STEPS - 2] and walk.dropped == {'no rate': 0.1}


def test_stamps_that_jitter_by_a_few_milliseconds_are_kept_and_rates_are_right(read, walks):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.085, 0.115, STEPS))
    rows = walks.walk(STEPS)
    for row, time_s in zip(rows, times):
        row.at_s = row.stamp_s = walks.START_S + time_s
        row.place = np.array([walks.SPEED * time_s, row.place[1], 0.06])
        row.legs = (walks.TURN * time_s, 0.0)
    walk = read(rows)
    assert walk.lengths == [STEPS - 2]
    np.testing.assert_allclose(walk.channel('vx'), walks.SPEED, rtol=1e-3)
    np.testing.assert_allclose(walk.channel('left_rate'), walks.TURN, rtol=1e-3)


def test_commands_that_stop_end_a_trajectory_after_their_time_out(read, walks):
    rows = walks.walk(STEPS)
    for row in rows[30:]:
        row.silent = {'commands'}
    walk = read(rows)
    # The last command is that of row 29; 0.2 s later is row 31.
    assert walk.lengths == [30]
    assert walk.dropped['no command'] == pytest.approx((STEPS - 1 - 31) * 0.1)


def test_commands_beyond_the_limits_are_cut_until_they_are_no_longer_in_effect(read, walks):
    rows = walks.walk(STEPS)
    rows[30].command = (1100.0, 300.0)
    walk = read(rows)
    # On average 0.3 * 480 + 0.7 * 1100 = 914 over one step, 0.3 * 1100 + 0.7 * 420 = 624 over the
    # next, which is within the limits again.
    assert walk.lengths == [29, STEPS - 2 - 29 - 1]
    assert walk.dropped['limits'] == pytest.approx(0.1)
    for trajectory in walk.trajectories:
        assert trajectory.actions.abs().max() <= 1.0


def test_pieces_shorter_than_asked_for_are_dropped_and_counted(read, walks):
    rows = walks.walk(STEPS)
    rows[10].place = rows[10].place + np.array([0.7, 0.0, 0.0])
    walk = read(rows, shortest_steps=9)
    assert walk.lengths == [STEPS - 13]
    assert walk.dropped['short'] == pytest.approx(0.8)


def test_topics_at_other_rates_than_the_period_make_states_a_period_apart(walks, tmp_path):
    # Motion capture at 100 Hz, legs at 50 Hz, the rest once a period, at other moments.
    rows = []
    for step in range(600):
        row = walks.walk(step + 1, period_s=0.01)[-1] if step % 100 == 0 else None
        time_s = 0.01 * step
        row = row or walks.walk(1)[0]
        row.at_s = row.stamp_s = walks.START_S + time_s
        row.place = np.array([walks.SPEED * time_s, 1e-5 * math.sin(step), 0.06])
        row.legs = (walks.TURN * time_s, 0.0)
        row.silent = set()
        row.silent |= {'joint_states'} if step % 2 else set()
        row.silent |= {'imu', 'telemetry', 'commands'} if step % 10 != 3 else set()
        rows.append(row)
    walk = Read(walks, tmp_path, rows)
    assert walk.lengths == [58]
    steps = np.diff(walk.channel('x'))
    np.testing.assert_allclose(steps, walks.SPEED * 0.1, atol=1e-4)
    np.testing.assert_allclose(walk.channel('left_rate'), walks.TURN, rtol=1e-3)


def test_where_all_topics_are_fast_steps_are_a_period_apart(walks, tmp_path):
    rows = walks.walk(600, period_s=0.02)
    walk = Read(walks, tmp_path, rows)
    assert len(walk.lengths) == 1
    np.testing.assert_allclose(np.diff(walk.channel('x')), walks.SPEED * 0.1, atol=1e-4)


def test_a_slow_topic_does_not_cut(walks, tmp_path):
    data = SPEC.model_dump()
    data['topics']['telemetry'] |= {'slow': True, 'timeout_s': 3.0}
    rows = walks.walk(STEPS)
    for step, row in enumerate(rows):
        row.silent = {'telemetry'} if step % 20 else set()
    walk = Read(walks, tmp_path, rows, spec=RobotSpec.model_validate(data))
    # One fewer than without: the first telemetry comes after the first step has begun.
    assert walk.lengths == [STEPS - 3]


def test_whatever_happens_the_seconds_add_up_and_what_is_kept_is_plausible(walks, tmp_path):
    rng = np.random.default_rng(0)
    kept = 0
    for case in range(12):
        rows = walks.walk(150)
        for row in rows:
            event = rng.integers(40)
            if event == 0:
                row.silent = {str(rng.choice(list(walks.TYPES)))}
            elif event == 1:
                row.place[rng.integers(3)] = rng.choice([math.nan, 9.0])
            elif event == 2:
                row.stamp_s += rng.normal() * 0.1
            elif event == 3:
                row.command = (float(rng.choice([math.nan, -50.0, 5000.0])), 0.0)
            elif event == 4:
                row.turn = (0.0, 0.0, 0.0, 0.0)
        walk = Read(walks, tmp_path / str(case), rows)
        account = walk.account
        assert set(account.dropped_s) <= set(REASONS) == set(walk.manifest.reasons)
        total = account.kept_s + sum(account.dropped_s.values())
        assert total == pytest.approx(account.seconds, abs=1e-6)
        assert account.transitions == sum(walk.lengths)
        for trajectory in walk.trajectories:
            assert torch.isfinite(trajectory.states).all()
            assert trajectory.actions.abs().max() <= 1.0 + 1e-6
            heights = trajectory.states[:, SPEC.channel_index('z')]
            assert (heights > 0.02).all() and (heights < 0.2).all()
        kept += account.transitions
    assert kept > 12 * 150 / 4


def test_several_bags_are_sessions_and_those_that_cannot_be_read_are_named(walks, tmp_path):
    for name, storage in (('a', 'mcap'), ('b', 'sqlite')):
        walks.write_bag(tmp_path / 'bags' / name, walks.walk(STEPS), storage)
    cut = walks.storage_file(walks.write_bag(tmp_path / 'bags' / 'c', walks.walk(STEPS)))
    cut.write_bytes(cut.read_bytes()[:-3000])
    other = walks.storage_file(walks.write_bag(tmp_path / 'bags' / 'd', walks.walk(3)))
    other.write_bytes(b'not a bag')
    manifest, sessions = read_recordings(find_bags([tmp_path / 'bags']), SPEC)
    assert [session.name for session in sessions] == ['a', 'b', 'c']
    assert [bool(account.damage) for account in manifest.sessions] == [False, False, True]
    assert list(manifest.unreadable) == ['d']
    assert manifest.total.kept_s == pytest.approx(sum(a.kept_s for a in manifest.sessions))
    assert (manifest.robot, manifest.robot_hash) == ('millirobot', SPEC.hash)


def test_a_bag_without_the_robot_is_refused_with_what_it_holds(walks, tmp_path):
    bag = walks.write_bag(tmp_path / 'walk', walks.walk(3), namespace='/other')
    assert find_topics(Bag(bag), SPEC).command == '/other/commands'
    with pytest.raises(UserError, match=r'no namespace has the topics pose, .*/other/pose'):
        find_topics(Bag(bag), SPEC, namespace='millirobot')
    with pytest.raises(UserError, match='has no topic /x of commands'):
        find_topics(Bag(bag), SPEC, command='/x')
    with pytest.raises(UserError, match=r'nothing to read: .*no namespace has the topics odom'):
        read_recordings([Bag(bag)], load_robot('half_cheetah'))
    data = SPEC.model_dump()
    data['topics']['imu']['type'] = 'nav_msgs/msg/Odometry'
    for channel in data['state'][12:15]:
        channel['field'] = 'twist.twist.angular.x'
    with pytest.raises(
        UserError, match='imu is sensor_msgs/msg/Imu, the robot file says nav_msgs'
    ):
        find_topics(Bag(bag), RobotSpec.model_validate(data))


RECORDINGS = Path(os.environ.get('MBMRL_RECORDINGS', 'not given'))


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason='MBMRL_RECORDINGS is not a folder of bags')
def test_the_recordings_of_the_real_robot_are_read():
    manifest, _ = read_recordings(find_bags([RECORDINGS]), SPEC)
    assert not manifest.unreadable
    # 584 runs of 50 steps: at most 48 transitions each, of which a tenth may be bad.
    assert 0.9 < manifest.total.transitions / (584 * 48) < 1.0


def changed(walks, folder, rows, change, namespace='/millirobot'):
    """Write a bag, its messages as `change` makes them of (topic, message, row number).

    change: returns messages, each with its topic and type; none of them to leave one out.
    """
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for number, row in enumerate(rows):
            for topic, message in walks.messages(row).items():
                for name, kind, changed in change(topic, message, number):
                    if (name, kind) not in connections:
                        connections[name, kind] = writer.add_connection(
                            name if name.startswith('/') else f'{namespace}/{name}',
                            kind,
                            typestore=walks.STORE,
                        )
                    raw = walks.STORE.serialize_cdr(changed, kind)
                    writer.write(connections[name, kind], round(row.at_s * 1e9), bytes(raw))
    return Bag(folder)


def account_of(bag, **options):
    manifest, sessions = read_recordings([bag], SPEC, **options)
    return manifest.sessions[0], sessions[0].trajectories


def test_messages_without_a_value_are_refused_and_that_is_the_reason(walks, tmp_path):
    def change(topic, message, number):
        if topic == 'joint_states':
            message.position = np.zeros(0)
        return [(topic, walks.TYPES[topic], message)]

    account, trajectories = account_of(
        changed(walks, tmp_path / 'walk', walks.walk(STEPS), change)
    )
    assert not trajectories
    ((reason, count),) = account.refused.items()
    assert "no position of joint 'left_legs' (0 values for 2 names)" in reason and count == STEPS
    dropped = {k: v for k, v in account.dropped_s.items() if v > 1e-6}
    assert list(dropped) == ['refused']
    assert f'{STEPS} x joint_states: no position' in chief_reason(
        account, Counter(account.refused)
    )


def test_messages_of_another_source_drop_nothing_and_are_named(read, walks, tmp_path):
    def change(topic, message, number):
        found = [(topic, walks.TYPES[topic], message)]
        if topic == 'joint_states':
            other = copy.deepcopy(message)
            other.name, other.position = ['gripper'], np.zeros(1)
            found.append((topic, walks.TYPES[topic], other))
        return found

    bag = changed(walks, tmp_path / 'two', walks.walk(STEPS), change)
    account, trajectories = account_of(bag)
    alone = read(walks.walk(STEPS))
    assert torch.equal(trajectories[0].states, alone.trajectories[0].states)
    assert {k: round(v, 6) for k, v in account.dropped_s.items() if v > 1e-6} == alone.dropped
    ((reason, count),) = account.refused.items()
    assert 'joint_states: another source' in reason and 'gripper' in reason and count == STEPS


def test_joints_that_come_in_parts_are_put_together(read, walks, tmp_path):
    def change(topic, message, number):
        if topic != 'joint_states':
            return [(topic, walks.TYPES[topic], message)]
        parts = [copy.deepcopy(message) for _ in message.name]
        for place, part in enumerate(parts):
            part.name, part.position = [message.name[place]], message.position[place : place + 1]
        return [(topic, walks.TYPES[topic], part) for part in parts]

    _, trajectories = account_of(changed(walks, tmp_path / 'parts', walks.walk(STEPS), change))
    alone = read(walks.walk(STEPS))
    assert torch.equal(trajectories[0].states, alone.trajectories[0].states)


def test_two_frames_on_one_topic_are_noted(walks, tmp_path):
    def change(topic, message, number):
        if topic == 'pose' and number % 2:
            message = copy.deepcopy(message)
            message.header.frame_id = 'map'
        return [(topic, walks.TYPES[topic], message)]

    account, _ = account_of(changed(walks, tmp_path / 'two', walks.walk(STEPS), change))
    assert account.notes == ('pose has messages of several frames (map, world): two sources?',)


def test_messages_of_another_type_are_counted_and_the_others_read(walks, tmp_path):
    def change(topic, message, number):
        if topic == 'pose' and number == 0:
            return [('pose', walks.TYPES['imu'], walks.messages(walks.walk(1)[0])['imu'])]
        return [(topic, walks.TYPES[topic], message)]

    account, trajectories = account_of(changed(walks, tmp_path / 'two', walks.walk(STEPS), change))
    assert trajectories[0].steps == STEPS - 3
    assert account.refused == {
        '/millirobot/pose: sensor_msgs/msg/Imu instead of geometry_msgs/msg/PoseStamped': 1
    }


def test_commands_of_another_type_are_refused_with_the_one_that_is_wanted(walks, tmp_path):
    def change(topic, message, number):
        if topic == 'commands':
            return [('commands', walks.TYPES['pose'], walks.messages(walks.walk(1)[0])['pose'])]
        return [(topic, walks.TYPES[topic], message)]

    bag = changed(walks, tmp_path / 'twist', walks.walk(5), change)
    said = (
        r'/millirobot/commands is geometry_msgs/msg/PoseStamped; commands are '
        r'sensor_msgs/msg/JointState or std_msgs/msg/Float64MultiArray'
    )
    with pytest.raises(UserError, match=said):
        find_topics(bag, SPEC)


def test_bags_that_hold_nothing_or_not_all_or_raise_are_named_and_the_others_are_read(
    walks, tmp_path, monkeypatch
):
    for name in ('a', 'c', 'e'):
        walks.write_bag(tmp_path / name, walks.walk(STEPS))
    walks.write_bag(tmp_path / 'b', [])
    silent = walks.walk(STEPS)
    for row in silent:
        row.silent = {'imu'}
    walks.write_bag(tmp_path / 'd', silent)
    decode = Bag.messages

    def fail(bag, *arguments):
        if bag.name == 'e':
            raise ZeroDivisionError('what nobody foresaw')
        return decode(bag, *arguments)

    monkeypatch.setattr(Bag, 'messages', fail)
    manifest, sessions = read_recordings(find_bags([tmp_path]), SPEC)
    assert [session.name for session in sessions] == ['a', 'c']
    reasons = manifest.unreadable
    assert list(reasons) == ['b', 'd', 'e']
    assert 'no message of /millirobot/pose can be read (none was recorded)' in reasons['b']
    assert 'no message of /millirobot/imu' in reasons['d']
    assert 'ZeroDivisionError: what nobody foresaw' in reasons['e']


def with_topic(data, before, name):
    """Return a robot file in which a topic has another name."""
    simulation = data['simulation']
    for section in (data['topics'], simulation['bodies'], simulation['sensing']):
        section[name] = section.pop(before)
    for channel in data['state']:
        channel['topic'] = channel['topic'].replace(before, name)
    return RobotSpec.model_validate(data)


def test_a_leading_slash_makes_a_name_absolute_whatever_the_namespace(walks, tmp_path):
    data = SPEC.model_dump()
    spec = with_topic(data, 'pose', '/mocap/pose')

    def change(topic, message, number):
        name = topic.replace('pose', '/mocap/pose')
        return [(name, walks.TYPES[topic], message)]

    for namespace in ('', '/fleet/one'):
        folder = tmp_path / f'walk{len(namespace)}'
        bag = changed(walks, folder, walks.walk(STEPS), change, namespace)
        topics = find_topics(bag, spec)
        assert topics.sensors['/mocap/pose'] == '/mocap/pose'
        assert topics.sensors[f'{namespace}/imu'] == 'imu'
        assert topics.command == f'{namespace}/commands'
        _, sessions = read_recordings([bag], spec)
        assert sessions[0].trajectories[0].steps == STEPS - 2


def test_what_is_not_there_is_said_with_what_is_and_the_nearest(walks, tmp_path):
    def change(topic, message, number):
        names = {'commands': 'command', 'imu': 'imu/data'}
        found = [(names.get(topic, topic), walks.TYPES[topic], message)]
        return found + [(f'/other/{n}', walks.TYPES['pose'], message) for n in range(40)] * (
            topic == 'pose' and number == 0
        )

    bag = changed(walks, tmp_path / 'walk', walks.walk(3), change)
    with pytest.raises(UserError, match=r'/millirobot/ lacks imu; nearest is /millirobot/imu/'):
        find_topics(bag, SPEC)
    data = SPEC.model_dump()
    spec = with_topic(data, 'imu', 'imu/data')
    with pytest.raises(UserError, match='nearest is /millirobot/command; there are: ') as error:
        find_topics(bag, spec)
    assert 'and 25 more' in str(error.value) and len(str(error.value)) < 1000


def test_several_namespaces_are_named(walks, tmp_path):
    def change(topic, message, number):
        return [(f'/{side}/{topic}', walks.TYPES[topic], message) for side in ('left', 'right')]

    bag = changed(walks, tmp_path / 'walk', walks.walk(3), change)
    with pytest.raises(UserError, match=r'several namespaces .*: /left/, /right/; .*--namespace'):
        find_topics(bag, SPEC)
    assert find_topics(bag, SPEC, namespace='left').command == '/left/commands'
