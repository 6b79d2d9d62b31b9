# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""However the process ends that runs an episode, its nodes end with it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mbmrl_ros.nodes.episode.processes import ending_in_order
from mbmrl_ros.system import machine

RUN = """
import sys
from pathlib import Path
from mbmrl_ros.nodes.episode.episode import Episode, run_episode
from mbmrl_ros.spec.robot import load_robot

spec = load_robot('half_cheetah')
episode = Episode(spec, 10**6, (), {}, {'bundle': sys.argv[1], 'threads': 1})
run_episode(episode, Path(sys.argv[2]) / 'bag', lambda step: print(step, flush=True))
"""
PATIENCE_S = 60.0
pytestmark = pytest.mark.skipif(
    not Path('/proc/self/task').exists(), reason='looks its processes up in /proc'
)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    lists = Path(f'/proc/{pid}/task').glob('*/children')
    return [int(child) for path in lists for child in path.read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process is there, and more than an entry that nobody has looked at."""
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return False
    return state not in 'ZX'


def until(condition, what: str) -> None:
    end = time.monotonic() + PATIENCE_S * machine.slowness()
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def episode(bundle, tmp_path):
    """A process in which an episode runs, and its nodes."""
    # Under nohup a hang-up is ignored, by the tests and whatever they start.
    process = subprocess.Popen(
        [sys.executable, '-c', RUN, str(bundle), str(tmp_path)],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    # The first step: both nodes are there and talk to each other.
    assert process.stdout.readline() == b'1\n'
    nodes = children(process.pid)
    assert len(nodes) == 2 and all(map(runs, nodes))
    yield process, nodes
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize(
    ('number', 'code'),
    [
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGHUP, 128 + signal.SIGHUP),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
    ids=lambda value: getattr(value, 'name', ''),
)
def test_nodes_end_with_the_process_that_started_them(episode, tmp_path, number, code):
    process, nodes = episode
    process.send_signal(number)
    assert process.wait(PATIENCE_S * machine.slowness()) == code
    if number != signal.SIGKILL:
        assert not any(map(runs, nodes)), 'they are waited for'
        assert (tmp_path / 'bag' / 'metadata.yaml').exists(), 'the bag is whole'
    until(lambda: not any(map(runs, nodes)), 'the nodes run on')


class Dropped:
    """Gets a signal while it is taken away, where Python lets no exception through."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.fixture
def as_started():
    """What signals do in a process that has just begun, and afterwards what they did before."""
    chosen = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_IGN,
    }
    before = {number: signal.signal(number, handler) for number, handler in chosen.items()}
    yield chosen
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ('number', 'error'), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
@pytest.mark.parametrize('again', [False, True])
def test_no_signal_is_lost_and_a_second_one_is_not_waited_for(as_started, number, error, again):
    reached = False
    with pytest.raises(error) as ended, ending_in_order():
        Dropped(number)
        reached = True
        if again:
            signal.raise_signal(number)
            pytest.fail('the second signal was waited for')
    assert reached, 'what is under way is not cut'
    assert getattr(ended.value, 'code', 143) == 143
    assert signal.getsignal(number) == as_started[number]


def test_a_loop_asks_whether_it_is_to_end(as_started):
    with pytest.raises(SystemExit), ending_in_order() as ending:
        ending.check()
        signal.raise_signal(signal.SIGTERM)
        ending.check()
        pytest.fail('it goes on')


def test_signals_that_are_ignored_stay_so(as_started):
    with ending_in_order() as ending:
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        signal.raise_signal(signal.SIGHUP)
        assert not ending.number
    assert {number: signal.getsignal(number) for number in as_started} == as_started
