# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""metadata.yaml, held against what was read."""

import shutil

import pytest
import yaml

from mbmrl_ros.data.bags import Bag

ROWS = 30


@pytest.fixture(params=['mcap', 'sqlite'])
def bag(request, walks, tmp_path):
    return walks.write_bag(tmp_path / 'walk', walks.walk(ROWS), request.param)


def count(bag: Bag) -> int:
    return sum(1 for _ in bag.messages({'/millirobot/pose'}))


def change(folder, change):
    """Change the description of a bag."""
    path = folder / 'metadata.yaml'
    data = yaml.safe_load(path.read_text())
    change(data['rosbag2_bagfile_information'])
    path.write_text(yaml.safe_dump(data))


def test_a_sound_bag_has_nothing_said_of_it(bag):
    whole = Bag(bag)
    assert count(whole) == ROWS and whole.damage == ''


def test_other_counts_are_said_by_topic(bag):
    def more(data):
        data['topics_with_message_count'][0]['message_count'] = 2 * ROWS

    change(bag, more)
    other = Bag(bag)
    assert count(other) == ROWS
    assert (
        f'counts {6 * ROWS} messages, there are {5 * ROWS} '
        f'({ROWS} of {2 * ROWS} of /millirobot/pose)' in other.damage
    )


def test_files_that_are_not_named_are_left_out_and_said(bag, walks):
    file = walks.storage_file(bag)
    shutil.copyfile(file, bag / f'copy{file.suffix}')
    with_copy = Bag(bag)
    assert count(with_copy) == ROWS
    assert f'not read: copy{file.suffix}, which metadata.yaml does not name' in with_copy.damage


def test_files_that_are_missing_are_named_and_others_read_in_their_place(bag, walks):
    file = walks.storage_file(bag)
    file.rename(bag / f'renamed{file.suffix}')
    renamed = Bag(bag)
    assert count(renamed) == ROWS
    assert f'names {file.name}, not there' in renamed.damage


def test_a_wrong_storage_is_said_and_the_files_are_read_as_what_they_are(bag):
    was = {}

    def swap(data):
        was['storage'] = data['storage_identifier']
        data['storage_identifier'] = 'sqlite3' if was['storage'] == 'mcap' else 'mcap'

    change(bag, swap)
    swapped = Bag(bag)
    assert count(swapped) == ROWS and f'it is {was["storage"]}' in swapped.damage


def test_quality_of_service_or_a_hash_that_differ_cost_no_message(bag):
    def differ(data):
        for topic in data['topics_with_message_count']:
            topic['topic_metadata']['offered_qos_profiles'] = '- history: 1\n  depth: 10\n'
            topic['topic_metadata']['type_description_hash'] = 'RIHS01_0'

    change(bag, differ)
    assert count(Bag(bag)) == ROWS


@pytest.mark.parametrize('version', [1, 4, 5, 8, 10])
def test_any_version_is_read(bag, version):
    def older(data):
        data['version'] = version
        data['relative_file_paths'] = [f'walk/{name}' for name in data['relative_file_paths']]
        if version < 5:
            del data['files']

    change(bag, older)
    old = Bag(bag)
    assert count(old) == ROWS and old.damage == ''


@pytest.mark.parametrize('text', ['', '[', 'a: 1', 'rosbag2_bagfile_information: 3', '\xff\0'])
def test_a_description_that_is_none_costs_no_message(bag, text):
    (bag / 'metadata.yaml').write_text(text, 'latin-1')
    bare = Bag(bag)
    assert count(bare) == ROWS and 'metadata.yaml cannot be used' in bare.damage
