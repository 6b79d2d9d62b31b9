# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Targets: refused before the work with their cause, written through, whole or not there."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mbmrl_ros.config import UserError
from mbmrl_ros.system.outputs import (
    as_json,
    check_file,
    check_inputs_stay,
    claimed,
    reason,
    replacing,
    write_text,
)


@pytest.mark.parametrize(
    ('place', 'said'),
    [
        ('none/a.json', 'there is no folder'),
        ('.', 'it is a folder'),
        ('file/a.json', 'Not a directory'),
        ('x' * 256, 'File name too long'),
        ('loop', 'Too many levels of symbolic links'),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_with_its_cause(tmp_path, place, said):
    (tmp_path / 'file').touch()
    (tmp_path / 'loop').symlink_to('loop')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=said) as caught:
        check_file(tmp_path / place)
    assert 'space' not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize('name', ['a.json', 'x' * 255, os.fsdecode(b'r\xe9.json'), 'a\nb'])
def test_a_check_leaves_no_trace_and_what_passes_it_can_be_written(tmp_path, name):
    check_file(tmp_path / name)
    assert not list(tmp_path.iterdir())
    write_text(tmp_path / name, 'new')
    check_file(tmp_path / name)
    assert [path.read_text() for path in tmp_path.iterdir()] == ['new']


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    (tmp_path / 'there').mkdir()
    target, link = tmp_path / 'there' / 'a.json', tmp_path / 'link.json'
    link.symlink_to(target)
    for text in ('the target is not there yet', 'now it is'):
        check_file(link)
        write_text(link, text)
        assert link.is_symlink() and target.read_text() == text
    assert [path.name for path in target.parent.iterdir()] == ['a.json']


def test_a_pipe_is_written_into(tmp_path):
    pipe, came = tmp_path / 'pipe', []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: came.append(pipe.read_text()), daemon=True)
    reader.start()
    check_file(pipe)
    write_text(pipe, 'through')
    reader.join(30)
    assert came == ['through'] and pipe.is_fifo()


@pytest.mark.parametrize('target', ['/dev/stdout', '/dev/fd/1', '/proc/self/fd/1', 'link'])
def test_standard_output_takes_the_text_behind_what_was_printed(tmp_path, target):
    (tmp_path / 'link').symlink_to('/dev/stdout')
    script = f"""
from pathlib import Path
from mbmrl_ros.system.outputs import check_file, write_text
print('before')
check_file(Path({target!r}))
write_text(Path({target!r}), 'json\\n')
print('after')
"""
    with (tmp_path / 'log').open('w') as log:
        subprocess.run([sys.executable, '-c', script], stdout=log, check=True, cwd=tmp_path)
    assert (tmp_path / 'log').read_text() == 'before\njson\nafter\n'


def test_a_process_substitution_is_written_into():
    read, write = os.pipe()
    write_text(Path(f'/dev/fd/{write}'), 'through')
    os.close(write)
    with open(read) as file:
        assert file.read() == 'through'


def test_a_device_stays_a_device():
    check_file(Path('/dev/null'))
    write_text(Path('/dev/null'), 'nowhere')
    assert Path('/dev/null').is_char_device()


def test_a_full_device_is_said_in_one_line():
    with pytest.raises(UserError, match='/dev/full: No space left on device; free some space'):
        write_text(Path('/dev/full'), 'text')


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (OSError(errno.ENOSPC, ''), 'No space left on device; free some space'),
        (OSError(errno.EDQUOT, ''), 'Disk quota exceeded; free some space'),
        (OSError(errno.EROFS, ''), 'Read-only file system'),
        (OSError(errno.EFBIG, ''), 'File too large'),
        (Exception('I/O error: gone (os error 28)'), 'No space left on device; free some space'),
        (Exception('I/O error: gone (os error 13)'), 'Permission denied'),
        (OSError('no number'), 'no number'),
    ],
)
def test_only_a_lack_of_space_speaks_of_space(error, said):
    assert reason(error) == said


def test_what_raises_or_is_interrupted_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / 'a'
    write_text(path, 'old')
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), replacing(path) as temporary:
            temporary.write_text('half')
            raise error
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_its_mode_and_a_new_one_has_that_of_others(tmp_path):
    (tmp_path / 'plain').touch()
    write_text(tmp_path / 'kept', 'old')
    (tmp_path / 'kept').chmod(0o640)
    for name in ('kept', 'new'):
        with replacing(tmp_path / name) as temporary:
            temporary.write_text('new')
            temporary.chmod(0o600)
    assert (tmp_path / 'kept').stat().st_mode & 0o777 == 0o640
    assert (tmp_path / 'new').stat().st_mode == (tmp_path / 'plain').stat().st_mode


def test_text_of_any_kind_is_written_in_utf_8(tmp_path):
    write_text(tmp_path / 'a', 'µ → \udce9')
    assert (tmp_path / 'a').read_bytes() == 'µ → '.encode() + b'\\udce9'


def test_a_folder_is_made_and_removed_again_if_nothing_came_into_it(tmp_path):
    with claimed(tmp_path / 'a' / 'b'):
        assert (tmp_path / 'a' / 'b').is_dir()
    assert not list(tmp_path.iterdir())
    with claimed(tmp_path / 'a' / 'b'):
        (tmp_path / 'a' / 'b' / 'file').touch()
    (tmp_path / 'empty').mkdir()
    with claimed(tmp_path / 'empty'):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {'a', 'empty'}


def test_two_commands_do_not_write_to_one_folder(tmp_path):
    folder = tmp_path / 'run'
    with claimed(folder, 'mbmrl train'):
        with (
            pytest.raises(UserError, match='another mbmrl train is at work in'),
            claimed(folder, 'mbmrl train'),
        ):
            pass
        assert folder.is_dir(), 'it belongs to the first one'
    with claimed(folder):
        pass


@pytest.mark.parametrize(
    ('place', 'said'),
    [('file', 'File exists'), ('file/run', 'Not a directory'), ('x' * 256, 'name too long')],
)
def test_a_folder_that_cannot_be_made_is_refused_with_its_cause(tmp_path, place, said):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=said), claimed(tmp_path / 'new' / '..' / place):
        pass
    assert (tmp_path / 'file').is_file()


def test_a_link_to_a_folder_is_followed(tmp_path):
    (tmp_path / 'link').symlink_to('there')
    with claimed(tmp_path / 'link'):
        (tmp_path / 'link' / 'file').touch()
    assert (tmp_path / 'link').is_symlink() and (tmp_path / 'there' / 'file').is_file()


def test_a_command_does_not_write_over_what_it_reads(tmp_path):
    bag, robot = tmp_path / 'bag', tmp_path / 'robot.json'
    bag.mkdir()
    for path in (robot, bag / 'metadata.yaml', bag / 'a.mcap', bag / 'numbers.json'):
        path.touch()
    (tmp_path / 'link').symlink_to(robot)
    for target in (robot, tmp_path / 'link', bag / 'metadata.yaml', bag / 'a.mcap'):
        with pytest.raises(UserError, match='is an input of this command'):
            check_inputs_stay(target, [bag, robot, tmp_path / 'none'])
    # It may be what the robot file extends, its model, or its URDF.
    for name in ('base.yaml', 'model.xml', 'a.urdf'):
        (tmp_path / name).touch()
        with pytest.raises(UserError, match='of files that commands read; choose another'):
            check_inputs_stay(tmp_path / name, [bag, robot])
    for target in (None, bag / 'numbers.json', bag / 'new.json', tmp_path / 'other.json'):
        check_inputs_stay(target, [bag, robot])


def test_json_holds_any_name_of_a_file():
    name = os.fsdecode(b'r\xe9')
    assert as_json({name: name}).isascii()
    assert json.loads(as_json({name: name})) == {name: name}
