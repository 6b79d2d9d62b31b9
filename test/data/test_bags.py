# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags: MCAP and SQLite alike, and damaged ones as far as they are sound."""

import shutil

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
