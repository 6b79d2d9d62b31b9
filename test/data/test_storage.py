# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that other tools write, and those that were left behind: read whole, or said to be not."""

import bz2
import gzip
import lzma
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import zstandard
from mcap.writer import CompressionType, IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mbmrl_ros.data.bags import Bag, find_bags

ROWS = 60
TOPIC = '/millirobot/pose'
POSE = 'geometry_msgs/msg/PoseStamped'


def poses(bag: Bag) -> list[tuple[int, float]]:
    return [(found.log_ns, found.data.pose.position.x) for found in bag.messages({TOPIC})]


@pytest.fixture
def rows(walks):
    return walks.walk(ROWS)


@pytest.fixture
def expected(rows):
    return [(round(row.at_s * 1e9), row.place[0]) for row in rows]


def serialized(walks, row, **options) -> bytes:
    return bytes(walks.STORE.serialize_cdr(walks.messages(row)['pose'], POSE, **options))


def write_mcap(path: Path, walks, rows, **options) -> Path:
    """Write poses as other tools do: with checksums, and chunks of some ten messages."""
    settings = {'chunk_size': 2000, 'compression': CompressionType.NONE} | options
    with path.open('wb') as file:
        writer = McapWriter(file, **settings)
        writer.start('ros2', 'a test')
        schema = writer.register_schema(POSE, 'ros2msg', b'')
        channel = writer.register_channel(TOPIC, 'cdr', schema)
        for row in rows:
            log_ns = round(row.at_s * 1e9)
            writer.add_message(channel, log_ns, serialized(walks, row), log_ns)
        writer.finish()
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left_behind(bag: Path, folder: Path, prepare, last: int) -> Path:
    """Copy a database and what lies beside it while a recorder is in the middle of its work.

    prepare: pragmas. last: rows up to this one are committed, those after it are not.
    """
    source = next(bag.glob('*.db3'))
    rows = sqlite3.connect(source).execute('select * from messages order by id').fetchall()
    database = sqlite3.connect(source, isolation_level=None)
    database.execute('delete from messages')
    database.execute('vacuum')
    for pragma in prepare:
        database.execute(f'pragma {pragma}')
    insert = 'insert into messages values (?, ?, ?, ?)'
    database.execute('begin')
    database.executemany(insert, rows[:last])
    database.execute('commit')
    database.execute('begin')
    database.executemany(insert, rows[last:])
    folder.mkdir()
    for file in bag.iterdir():
        if not file.name.endswith('-shm'):
            shutil.copyfile(file, folder / file.name)
    database.execute('rollback')
    database.close()
    return folder


def test_what_lies_in_a_write_ahead_log_is_read_and_nothing_beside_it_changes(
    walks, rows, expected, tmp_path
):
    bag = walks.write_bag(tmp_path / 'walk', rows, 'sqlite')
    kept = left_behind(
        bag, tmp_path / 'killed', ('journal_mode=wal', 'wal_autocheckpoint=0'), ROWS * 5
    )
    assert any(file.name.endswith('-wal') for file in kept.iterdir())
    before = contents(kept)
    killed = Bag(kept)
    assert poses(killed) == expected and killed.damage == ''
    assert contents(kept) == before


def test_what_a_recorder_had_not_committed_is_undone_by_its_journal(walks, expected, tmp_path):
    bag = walks.write_bag(tmp_path / 'walk', walks.walk(8 * ROWS), 'sqlite')
    # So small a cache that pages reach the file before the end of the transaction.
    kept = left_behind(bag, tmp_path / 'killed', ('journal_mode=delete', 'cache_size=2'), ROWS * 5)
    assert any(file.name.endswith('-journal') for file in kept.iterdir())
    before = contents(kept)
    killed = Bag(kept)
    assert poses(killed) == expected
    assert f'there are {5 * ROWS}' in killed.damage
    assert contents(kept) == before


@pytest.mark.parametrize(
    'options',
    [
        {'index_types': IndexType.CHUNK},
        {'index_types': IndexType.NONE, 'repeat_channels': False, 'repeat_schemas': False},
        {'use_chunking': False},
        {'use_statistics': False, 'use_summary_offsets': False},
        {'compression': CompressionType.LZ4},
        {'compression': CompressionType.ZSTD},
    ],
)
def test_an_mcap_file_is_read_whatever_index_and_compression_it_has(
    walks, rows, expected, tmp_path, options
):
    bag = Bag(write_mcap(tmp_path / 'walk.mcap', walks, rows, **options))
    assert poses(bag) == expected and bag.damage == ''
    assert bag.topics == {TOPIC: (POSE,)}


@pytest.mark.parametrize('chunks', ['first', 'middle'])
def test_values_behind_a_wrong_checksum_are_left_out(walks, rows, expected, tmp_path, chunks):
    file = write_mcap(tmp_path / 'walk.mcap', walks, rows)
    content = bytearray(file.read_bytes())
    row = rows[3 if chunks == 'first' else ROWS // 2]
    place = content.index(np.float64(row.place[0]).tobytes())
    content[place + 6] ^= 0x10
    file.write_bytes(bytes(content))
    bag = Bag(file)
    found = poses(bag)
    assert set(found) < set(expected) and len(found) > ROWS / 2
    assert '1 of its chunks were left out: a wrong checksum' in bag.damage


def test_a_wrong_checksum_of_all_data_is_said(walks, rows, tmp_path):
    options = {'use_chunking': False, 'enable_data_crcs': True}
    file = write_mcap(tmp_path / 'walk.mcap', walks, rows, **options)
    assert poses(Bag(file))
    content = bytearray(file.read_bytes())
    content[content.index(np.float64(rows[5].place[0]).tobytes()) + 6] ^= 0x10
    file.write_bytes(bytes(content))
    bag = Bag(file)
    poses(bag)
    assert 'the checksum of its data is wrong' in bag.damage


def test_log_times_out_of_order_are_put_in_order(walks, rows, expected, tmp_path):
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(ROWS)]
    for options in ({'use_chunking': False}, {}):
        file = write_mcap(tmp_path / 'walk.mcap', walks, shuffled, **options)
        assert poses(Bag(file)) == expected


@pytest.mark.parametrize('storage', ['mcap', 'sqlite'])
def test_padding_and_either_byte_order_are_read_and_other_lengths_are_not(
    walks, rows, storage, tmp_path
):
    good = serialized(walks, rows[1])
    written = [
        good,
        good + bytes(8),
        serialized(walks, rows[1], little_endian=False),
        good[:-1],
        good + bytes(40),
        b'',
        b'\0\7' + good[2:],
    ]
    with Writer(tmp_path / 'walk', version=9, storage_plugin=walks.PLUGINS[storage]) as writer:
        connection = writer.add_connection(TOPIC, POSE, typestore=walks.STORE)
        for at_ns, raw in enumerate(written):
            writer.write(connection, at_ns, raw)
    bag = Bag(tmp_path / 'walk')
    assert poses(bag) == [(at_ns, rows[1].place[0]) for at_ns in (0, 1, 2)]
    assert bag.refused == {f'{TOPIC}: bytes are not of its type': 4}


@pytest.mark.parametrize(
    ('plugin', 'mode'),
    [
        (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.MCAP, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    ],
)
@pytest.mark.parametrize('described', [True, False])
def test_compressed_bags_are_read_with_and_without_their_description(
    walks, rows, expected, tmp_path, plugin, mode, described
):
    writer = Writer(tmp_path / 'walk', version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(TOPIC, POSE, typestore=walks.STORE)
        for row in rows:
            writer.write(connection, round(row.at_s * 1e9), serialized(walks, row))
    if not described:
        (tmp_path / 'walk' / 'metadata.yaml').unlink()
    bag = Bag(tmp_path / 'walk')
    assert poses(bag) == expected
    assert ('metadata' in bag.damage) != described


@pytest.mark.parametrize(
    ('suffix', 'pack'), [('gz', gzip.compress), ('bz2', bz2.compress), ('xz', lzma.compress)]
)
def test_files_that_were_packed_by_hand_are_read(walks, rows, expected, tmp_path, suffix, pack):
    bag = walks.write_bag(tmp_path / 'walk', rows, 'sqlite')
    file = walks.storage_file(bag)
    whole = file.read_bytes()
    file.unlink()
    packed = bag / f'{file.name}.{suffix}'
    packed.write_bytes(pack(whole))
    assert poses(Bag(bag)) == expected and Bag(bag).damage == ''
    packed.write_bytes(pack(whole)[:-40])
    cut = Bag(bag)
    assert len(poses(cut)) <= ROWS and 'walk.db3.' in cut.damage


@pytest.mark.parametrize('name', ['WALK.MCAP', 'walk.Mcap', 'walk.mcap.active'])
def test_a_file_is_a_bag_whatever_its_letters_and_what_was_put_behind(
    walks, rows, expected, tmp_path, name
):
    write_mcap(tmp_path / name, walks, rows)
    (bag,) = find_bags([tmp_path])
    assert poses(bag) == expected
    (bag,) = find_bags([tmp_path / name])
    assert poses(bag) == expected and bag.name.lower() == 'walk'


def test_a_topic_without_a_type_is_said_to_have_none(tmp_path):
    with (tmp_path / 'walk.mcap').open('wb') as file:
        writer = McapWriter(file)
        writer.start()
        writer.register_channel(TOPIC, 'cdr', 0)
        writer.finish()
    assert Bag(tmp_path / 'walk.mcap').topics == {TOPIC: ('of a type that is not said',)}


def test_a_file_beside_its_own_compressed_copy_counts_once(walks, rows, expected, tmp_path):
    bag = walks.write_bag(tmp_path / 'walk', rows)
    (bag / 'metadata.yaml').unlink()
    file = walks.storage_file(bag)
    packed = zstandard.ZstdCompressor().compress(file.read_bytes())
    (bag / f'{file.name}.zst').write_bytes(packed)
    assert poses(Bag(bag)) == expected
    file.unlink()
    assert poses(Bag(bag)) == expected


def test_of_a_compressed_file_that_was_cut_the_begin_is_read(walks, rows, expected, tmp_path):
    # Blocks of zstd are 128 KiB.
    whole = write_mcap(tmp_path / 'walk.mcap', walks, rows * 50).read_bytes()
    packed = zstandard.ZstdCompressor().compress(whole)
    (tmp_path / 'walk.mcap.zstd').write_bytes(packed[: len(packed) * 3 // 4])
    cut = Bag(tmp_path / 'walk.mcap.zstd')
    found = poses(cut)
    assert cut.name == 'walk' and cut.damage
    assert 0 < len(found) < 50 * ROWS and set(found) == set(expected)


def test_a_bag_of_ros_1_is_read(walks, rows, expected, tmp_path):
    store = get_typestore(Stores.ROS1_NOETIC)
    with Ros1Writer(tmp_path / 'walk.bag') as writer:
        connection = writer.add_connection(TOPIC, POSE, typestore=store, latching=1)
        header = store.types['std_msgs/msg/Header']
        for row in rows:
            message = walks.messages(row)['pose']
            message.header = header(7, message.header.stamp, 'world')
            raw = store.serialize_ros1(message, POSE)
            writer.write(connection, round(row.at_s * 1e9), raw)
    bag = Bag(tmp_path / 'walk.bag')
    assert bag.name == 'walk' and bag.topics == {TOPIC: (POSE,)} and bag.latched == {TOPIC}
    assert poses(bag) == expected and bag.damage == ''
    assert {found.raw for found in bag.messages({TOPIC})} == {serialized(walks, r) for r in rows}
    cut = tmp_path / 'cut.bag'
    cut.write_bytes((tmp_path / 'walk.bag').read_bytes()[:3000])
    bag = Bag(cut)
    assert poses(bag) == [] and 'this bag of ROS 1' in bag.damage


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'', 'it is empty'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'git lfs pull'),
        (b'\x04\x22\x4d\x18 packed', 'unpack it first with: lz4 -d walk.mcap'),
        (b'{"format": 1}', 'it is neither MCAP nor SQLite'),
    ],
)
def test_a_file_that_is_none_is_called_what_it_is(content, said, tmp_path):
    file = tmp_path / 'walk.mcap'
    file.write_bytes(content)
    bag = Bag(file)
    assert bag.topics == {} and said in bag.damage


def test_a_database_without_the_tables_of_rosbag2_says_so(tmp_path):
    with sqlite3.connect(tmp_path / 'walk.db3') as database:
        database.execute('create table other (id)')
    bag = Bag(tmp_path / 'walk.db3')
    assert bag.topics == {} and 'no such table' in bag.damage


def test_old_databases_without_quality_of_service_are_read(walks, rows, expected, tmp_path):
    bag = walks.write_bag(tmp_path / 'walk', rows, 'sqlite')
    with sqlite3.connect(walks.storage_file(bag)) as database:
        database.execute('alter table topics drop column offered_qos_profiles')
        database.execute('alter table topics drop column type_description_hash')
        database.execute('drop table message_definitions')
        database.execute('drop table schema')
    old = Bag(bag)
    assert poses(old) == expected and old.damage == ''
