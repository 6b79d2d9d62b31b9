# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""However a command ends, it is quiet and its exit code says how."""

import os
import signal
import subprocess
import sys

import pytest

from mbmrl_ros.system.endings import UserError, exit_code, one_line

BEGIN = """
import os, signal, sys
from mbmrl_ros.system.endings import UserError, begin_process, exit_code, interruptible
begin_process()

class Swallows:
    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)

def run():
    {body}

sys.exit(exit_code(run, 'mbmrl'))
"""
# Raises the signal where a library would be found that takes long to import.
IMPORT = """
import os, signal, sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == {library!r}:
            signal.raise_signal(signal.{name})

sys.meta_path.insert(0, Interrupted())
sys.argv = ['mbmrl', *sys.argv[1:]]
from mbmrl_ros.cli.entry import {entry}
sys.exit({entry}())
"""


def python(script, *arguments, **options):
    command = [sys.executable, '-c', script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def body(*lines):
    return BEGIN.format(body='\n    '.join(lines))


@pytest.mark.parametrize(
    ('entry', 'library', 'arguments', 'number'),
    [
        ('mbmrl', 'argparse', ['--help'], signal.SIGINT),
        ('mbmrl', 'argparse', ['--help'], signal.SIGTERM),
        ('mbmrl', 'torch', ['bag', 'a', '--robot', 'b', '--out', 'c'], signal.SIGINT),
        ('controller_node', 'rclpy', [], signal.SIGINT),
    ],
)
def test_a_signal_in_the_midst_of_an_import_ends_quietly(
    tmp_path, entry, library, arguments, number
):
    script = IMPORT.format(entry=entry, library=library, name=number.name)
    result = python(script, *arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (128 + number, '', '')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_work_lets_it_be_put_in_order(number):
    script = body(
        'with interruptible():',
        '    try:',
        f'        signal.raise_signal({number})',
        '    finally:',
        '        print("in order")',
    )
    result = python(script)
    assert result.returncode == 128 + number and result.stdout == 'in order\n'
    assert result.stderr == 'mbmrl: interrupted; what was written so far is whole\n'


def test_an_exception_that_comes_of_an_interruption_counts_as_one():
    lines = ['with interruptible():', '    try:', '        signal.raise_signal(2)']
    script = body(*lines, '    except KeyboardInterrupt:', '        raise ImportError("half")')
    result = python(script)
    assert result.returncode == 130 and 'Traceback' not in result.stderr


def test_a_second_signal_ends_at_once():
    script = body(
        'with interruptible():',
        '    try:',
        '        signal.raise_signal(signal.SIGINT)',
        '    finally:',
        '        signal.raise_signal(signal.SIGINT)',
        '        print("never", flush=True)',
    )
    result = python(script)
    assert (result.returncode, result.stdout, result.stderr) == (130, '', '')


def test_a_signal_where_no_exception_comes_through_ends_all_the_same():
    script = body('with interruptible():', '    Swallows(signal.SIGTERM)', '    return 0')
    result = python(script)
    assert (result.returncode, result.stdout, result.stderr) == (143, '', '')


def test_a_signal_that_is_ignored_stays_ignored():
    script = 'import signal; signal.signal(2, signal.SIG_IGN)' + body(
        'with interruptible():', '    signal.raise_signal(2)', 'print("on")', 'return 0'
    )
    assert python(script).stdout == 'on\n'


def test_the_output_takes_text_that_its_encoding_has_not():
    script = body("print('µ → ' + chr(0xdce9))", 'return 0')
    result = python(script, env={**os.environ, 'PYTHONIOENCODING': 'ascii'})
    assert (result.returncode, result.stderr) == (0, '')
    assert result.stdout == '\\xb5 \\u2192 \\udce9\n'


@pytest.mark.parametrize('streams', ['<&- >&- 2>&-', '>&-', '2>&-'])
def test_an_output_that_was_closed_is_no_file_that_is_opened_later(tmp_path, streams):
    script = body(
        'file = open("file", "w")', 'print("out")', 'print("err", file=sys.stderr)',
        'print(file.fileno() > 2, file=file)', 'return 0',
    )  # fmt: skip
    command = f'"$0" -c "$1" {streams}'
    done = subprocess.run(['sh', '-c', command, sys.executable, script], cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    assert (tmp_path / 'file').read_text() == 'True\n'


ENTRY = 'import sys; from mbmrl_ros.cli.entry import mbmrl; sys.exit(mbmrl())'
COMMAND = [sys.executable, '-c', ENTRY, '--help']


def test_an_executable_prints_what_its_command_prints():
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.startswith('usage: mbmrl')


def test_a_full_output_is_said_in_one_line():
    with open('/dev/full', 'w') as full:
        done = subprocess.run(COMMAND, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    said = 'mbmrl: cannot write to the standard output: No space left on device\n'
    assert (done.returncode, done.stderr) == (2, said)


def test_a_reader_that_has_gone_ends_a_command_quietly():
    process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b''
    assert process.wait(60) == 128 + signal.SIGPIPE
    process.stderr.close()


def test_what_a_command_raises_becomes_one_line(capsys):
    def wrong():
        raise UserError('no file a\nb')

    def forbidden():
        raise PermissionError(13, 'Permission denied', os.fsdecode(b'r\xe9'))

    def defect():
        raise ZeroDivisionError

    assert exit_code(wrong, 'mbmrl') == 2
    assert exit_code(forbidden, 'mbmrl') == 2
    with pytest.raises(ZeroDivisionError):
        exit_code(defect, 'mbmrl')
    said = capsys.readouterr().err.splitlines()
    assert said == ['mbmrl: no file a\\nb', 'mbmrl: r\\udce9: Permission denied']


def test_text_on_one_line_stays_as_it_is():
    assert one_line("it's: µ → 1") == "it's: µ → 1"
    assert one_line('a\r\n\x1b[0m') == 'a\\r\\n\\x1b[0m'


def test_a_bar_that_goes_into_a_file_is_redrawn_every_ten_seconds():
    script = """
import time
from mbmrl_ros.system.endings import begin_process
begin_process()
from tqdm import tqdm
for _ in tqdm(range(50)):
    time.sleep(0.005)
"""
    said = python(script).stderr
    # Its first state and its last.
    assert said.count('it/s') <= 2 and '50/50' in said
