# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags: MCAP and SQLite alike, and damaged ones as far as they are sound."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from mbmrl_ros.config import UserError
from mbmrl_ros.data.bags import Bag, find_bags

ROWS = 400
STORAGES = ('mcap', 'sqlite')


@pytest.fixture(params=STORAGES)
def bag(request, walks, tmp_path):
    return walks.write_bag(tmp_path / 'walk', walks.walk(ROWS), request.param)


def poses(bag: Bag) -> list[tuple[int, float]]:
    found = bag.messages({'/millirobot/pose'})
    return [(message.log_ns, message.data.pose.position.x) for message in found]


def expected_poses(walks) -> list[tuple[int, float]]:
    return [(round(row.at_s * 1e9), row.place[0]) for row in walks.walk(ROWS)]


def test_topics_and_messages_come_back_in_order_from_both_storages(bag, walks):
    whole = Bag(bag)
    assert whole.name == 'walk'
    assert whole.topics == {f'/millirobot/{topic}': (kind,) for topic, kind in walks.TYPES.items()}
    assert poses(whole) == expected_poses(walks)
    assert whole.damage == '' and not whole.undecodable


def test_a_bag_without_its_description_and_a_single_file_are_read(bag, walks):
    file = walks.storage_file(bag)
    assert poses(Bag(file)) == expected_poses(walks)
    (bag / 'metadata.yaml').unlink()
    bare = Bag(bag)
    assert len(bare.topics) == len(walks.TYPES)
    assert poses(bare) == expected_poses(walks)
    assert 'metadata' in bare.damage


@pytest.mark.parametrize('share', [0.9, 0.5, 0.2])
def test_of_a_file_that_was_cut_everything_before_the_cut_is_read(bag, walks, share):
    file = walks.storage_file(bag)
    content = file.read_bytes()
    file.write_bytes(content[: round(share * len(content))])
    cut = Bag(bag)
    found = poses(cut)
    assert found == expected_poses(walks)[: len(found)]
    # Messages are of one size and fill nearly all of a file; SQLite's index comes in between.
    assert share - 0.15 < len(found) / ROWS <= 1.0
    assert cut.damage


@pytest.mark.parametrize('share', [0.0, 0.0005])
def test_of_a_file_without_a_whole_message_there_is_nothing(bag, walks, share):
    file = walks.storage_file(bag)
    content = file.read_bytes()
    file.write_bytes(content[: round(share * len(content))])
    nothing = Bag(bag)
    assert poses(nothing) == [] and nothing.damage
    assert Bag(file).topics == {}


@pytest.mark.parametrize('place', [0.25, 0.5, 0.75])
def test_garbage_in_the_middle_costs_what_it_covers_and_raises_nothing(bag, walks, place):
    file = walks.storage_file(bag)
    content = bytearray(file.read_bytes())
    start = round(place * len(content))
    content[start : start + 64] = bytes(np.random.default_rng(0).integers(0, 256, 64, np.uint8))
    file.write_bytes(bytes(content))
    damaged = Bag(bag)
    found = poses(damaged)
    sound = set(expected_poses(walks))
    # 64 bytes are less than a message; what was read around them is as it was written.
    wrong = [pose for pose in found if pose not in sound]
    assert len(wrong) <= 1
    assert len(found) >= ROWS - 2 or damaged.damage


def test_compressed_chunks_that_were_cut_are_read_up_to_the_last_whole_one(walks, tmp_path):
    folder = tmp_path / 'packed'
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/pose', walks.TYPES['pose'], typestore=walks.STORE)
        for row in walks.walk(20_000):
            message = walks.messages(row)['pose']
            raw = walks.STORE.serialize_cdr(message, walks.TYPES['pose'])
            writer.write(connection, round(row.at_s * 1e9), bytes(raw))
    file = walks.storage_file(folder)
    content = file.read_bytes()
    whole = sum(1 for _ in Bag(folder).messages({'/pose'}))
    file.write_bytes(content[: len(content) // 2])
    cut = Bag(folder)
    found = [message.log_ns for message in cut.messages({'/pose'})]
    assert whole == 20_000
    assert 0 < len(found) < whole and found == sorted(found) and cut.damage


def test_bytes_that_are_no_message_are_counted_and_left_out(walks, tmp_path):
    with Writer(tmp_path / 'odd', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/pose', walks.TYPES['pose'], typestore=walks.STORE)
        good = bytes(
            walks.STORE.serialize_cdr(
                walks.messages(walks.walk(1)[0])['pose'], walks.TYPES['pose']
            )
        )
        for at_ns, raw in enumerate((good, good[:30], good)):
            writer.write(connection, at_ns, raw)
    odd = Bag(tmp_path / 'odd')
    assert [message.log_ns for message in odd.messages({'/pose'})] == [0, 2]
    assert odd.undecodable == {'/pose': 1}


def test_folders_of_bags_are_searched_and_names_must_differ(bag, walks, tmp_path):
    (tmp_path / 'notes').mkdir()
    assert [found.name for found in find_bags([tmp_path])] == ['walk']
    assert [found.path for found in find_bags([bag])] == [bag]
    shutil.copytree(bag, tmp_path / 'other' / 'walk')
    with pytest.raises(UserError, match='are both named walk'):
        find_bags([bag, tmp_path / 'other'])
    with pytest.raises(UserError, match='notes: neither a bag nor holds any'):
        find_bags([tmp_path / 'notes'])
    with pytest.raises(UserError, match='nowhere: no such file or folder'):
        find_bags([tmp_path / 'nowhere'])


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'pipe.mcap')
    (bag,) = find_bags([tmp_path / 'pipe.mcap'])
    assert bag.topics == {} and 'it is a pipe or device' in bag.damage


def test_a_name_that_no_file_can_have_is_refused_before_anything_is_read(walks, tmp_path):
    walks.write_bag(tmp_path / ('x' * 250), walks.walk(2))
    with pytest.raises(UserError, match='its name is too long; rename it'):
        find_bags([tmp_path])


def test_bags_are_found_at_any_depth_once_each_through_links_and_in_circles(walks, tmp_path):
    for name in ('monday/morning', 'monday/evening', 'tuesday'):
        walks.write_bag(tmp_path / 'bags' / name, walks.walk(3))
    (tmp_path / 'elsewhere').symlink_to(tmp_path / 'bags' / 'tuesday')
    (tmp_path / 'bags' / 'monday' / 'again').symlink_to(tmp_path / 'bags')
    (tmp_path / 'bags' / 'gone').symlink_to(tmp_path / 'nowhere')
    found = find_bags([tmp_path / 'bags', tmp_path / 'bags' / 'monday' / 'evening'])
    assert [bag.name for bag in found] == ['evening', 'morning', 'tuesday']
    assert [bag.name for bag in find_bags([tmp_path / 'elsewhere'])] == ['elsewhere']


def test_files_that_lie_side_by_side_are_recordings_of_their_own_unless_one_was_split(
    walks, tmp_path
):
    folder = tmp_path / 'files'
    folder.mkdir()
    for name in ('monday', 'tuesday_0', 'tuesday_1'):
        file = walks.storage_file(walks.write_bag(tmp_path / name, walks.walk(ROWS)))
        shutil.move(file, folder / f'{name}.mcap')
    found = find_bags([folder])
    assert [bag.name for bag in found] == ['monday', 'tuesday']
    assert [len(poses(bag)) for bag in found] == [ROWS, 2 * ROWS]
    (folder / 'monday.mcap').unlink()
    assert [bag.name for bag in find_bags([folder])] == ['files']


def test_a_bag_has_a_name_that_can_be_written_whatever_its_path(walks, tmp_path, monkeypatch):
    latin = tmp_path / os.fsdecode(b'caf\xe9 \xe0 2')
    walks.write_bag(tmp_path / 'walk', walks.walk(3)).rename(latin)
    (bag,) = find_bags([latin])
    assert bag.name == r'caf\xe9 \xe0 2' and bag.where.encode()
    assert len(poses(bag)) == 3
    monkeypatch.chdir(latin)
    assert [bag.name for bag in find_bags([Path('.')])] == [bag.name]


def test_what_may_not_be_read_is_a_bag_that_says_so(walks, tmp_path, monkeypatch):
    walks.write_bag(tmp_path / 'bags' / 'good', walks.walk(ROWS))
    walks.write_bag(tmp_path / 'bags' / 'locked', walks.walk(ROWS))
    listed, opened = Path.iterdir, Path.open

    def refuse(inner):
        def guarded(self, *arguments, **options):
            if 'locked' in self.parts:
                raise PermissionError(13, 'Permission denied', str(self))
            return inner(self, *arguments, **options)

        return guarded

    # Not by their modes, which the super-user need not mind.
    monkeypatch.setattr(Path, 'iterdir', refuse(listed))
    good, locked = find_bags([tmp_path / 'bags'])
    assert len(poses(good)) == ROWS and locked.topics == {}
    assert 'cannot be read: Permission denied' in locked.damage
    monkeypatch.setattr(Path, 'iterdir', listed)
    monkeypatch.setattr(Path, 'open', refuse(opened))
    assert locked.topics == {} and 'Permission denied' in locked.damage


def test_several_types_of_one_topic_are_listed_and_others_than_wanted_are_counted(walks, tmp_path):
    with Writer(tmp_path / 'two', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for kind, at_ns in (('imu', 0), ('pose', 1), ('pose', 2)):
            connection = next(
                (c for c in writer.connections if c.msgtype == walks.TYPES[kind]), None
            ) or writer.add_connection('/pose', walks.TYPES[kind], typestore=walks.STORE)
            message = walks.messages(walks.walk(1)[0])[kind]
            raw = walks.STORE.serialize_cdr(message, walks.TYPES[kind])
            writer.write(connection, at_ns, bytes(raw))
    two = Bag(tmp_path / 'two')
    assert two.topics == {'/pose': (walks.TYPES['imu'], walks.TYPES['pose'])}
    found = two.messages({'/pose'}, {'/pose': (walks.TYPES['pose'],)})
    assert [message.log_ns for message in found] == [1, 2]
    assert two.refused == {
        '/pose: sensor_msgs/msg/Imu instead of geometry_msgs/msg/PoseStamped': 1
    }
