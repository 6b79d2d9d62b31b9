# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A training as a node: progress, pause, stop, and the run folder of the command line."""

import signal
import time

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from mbmrl_ros.api.training import train
from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.learners import trainer_node
from mbmrl_ros.system.machine import slowness
from mbmrl_ros.system.outputs import claimed
from mbmrl_ros.training.run import finished_iterations

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TASK = 'point/corner'
SMALL = {'tasks': 2, 'rollouts': 2, 'horizon': 5, 'inner_steps': 1}


def parameters(out, **settings):
    changes = [f'{name}={value}' for name, value in (SMALL | settings).items()]
    known = {'algorithm': 'promp', 'task': TASK, 'out': str(out)}
    return known | {'settings': changes, 'threads': 1}


def trainer(bench, out, **settings):
    return bench._start(trainer_node.make_node, {}, parameters(out, **settings), '')


def listen(bench):
    """Return the rows of ~/progress that have come, by the names of their dimensions."""
    rows = []

    def add(message):
        rows.append(dict(zip([dim.label for dim in message.layout.dim], message.data)))

    bench.node.create_subscription(Float64MultiArray, 'trainer_node/progress', add, LATCHED)
    return rows


def weights(folder):
    return (folder / 'bundle' / 'model.safetensors').read_bytes()


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """What the command line makes of three iterations."""
    folder = tmp_path_factory.mktemp('whole') / 'run'
    train('promp', TASK, folder, settings=SMALL | {'iterations': 3})
    return weights(folder)


def test_a_training_says_how_far_it_is_and_goes_on_with_what_others_and_itself_began(
    bench, tmp_path, whole
):
    out, rows = tmp_path / 'run', listen(bench)
    train('promp', TASK, out, settings=SMALL | {'iterations': 1})
    node = trainer(bench, out, iterations=3)
    bench.until(lambda: rows and rows[-1]['iteration'] == 2.0)
    node.trigger_deactivate()
    node.trigger_activate()
    bench.until_status('training', lambda text, _: text.startswith('finished'))
    bench.until(lambda: rows and rows[-1]['iteration'] == 3.0)
    last = rows[-1]
    assert list(last)[:5] == ['iteration', 'iterations', 'environment_steps', 'return', 'seconds']
    # Two tasks, two rollouts of five steps, before and after the inner step, in each iteration.
    assert (last['iterations'], last['environment_steps']) == (3.0, 3 * 2 * 2 * 5 * 2)
    assert last['return'] == last['return_after'] and last['seconds'] > 0
    assert weights(out) == whole


def test_a_paused_training_waits_a_stopped_one_can_be_gone_on_with(bench, tmp_path):
    out, rows = tmp_path / 'run', listen(bench)
    trainer(bench, out, iterations=100_000)
    bench.until(lambda: rows, 'the first iteration')
    assert bench.call(Trigger, 'trainer_node/pause').success
    bench.until_status('training', lambda text, _: text.startswith('paused'))
    done = finished_iterations(out)
    bench.until(lambda: rows[-1]['iteration'] == done)
    # Reports are a second apart, in which there would be many iterations.
    for _ in range(2):
        bench.until_status('training', lambda text, _: text.startswith('paused'))
    assert finished_iterations(out) == done
    assert bench.call(Trigger, 'trainer_node/resume').success
    bench.until(lambda: rows[-1]['iteration'] > done)
    assert bench.call(Trigger, 'trainer_node/stop').success
    bench.until_status('training', lambda text, _: text.startswith('stopped'))
    stopped = finished_iterations(out)
    refused = bench.call(Trigger, 'trainer_node/pause')
    assert (stopped > done, refused.success) == (True, False)
    assert refused.message == 'nothing is trained: stopped'
    train('promp', TASK, out, settings=SMALL | {'iterations': stopped + 1})
    assert finished_iterations(out) == stopped + 1


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_a_node_ends_within_two_seconds_and_its_worker_with_it(bench, tmp_path, number):
    out, rows = tmp_path / 'run', listen(bench)
    process = bench.process('trainer_node', **parameters(out, iterations=100_000))
    bench.until(lambda: rows, 'the first iteration')
    began_s = time.monotonic()
    process.send_signal(number)
    code = process.wait(10)
    assert time.monotonic() - began_s < 2.0 * slowness(), bench.output()
    assert code == (0 if number == signal.SIGINT else -number), bench.output()

    def free():
        try:
            with claimed(out):
                return True
        except UserError:
            return False

    bench.until(free, 'the worker to end')
    assert finished_iterations(out) >= 1


@pytest.mark.parametrize(
    ('wrong', 'said'),
    [
        ({'algorithm': 'promb'}, "unknown algorithm 'promb'"),
        ({'task': 'point/corners'}, "unknown task of policies 'point/corners'"),
        ({'settings': ['rollout=3']}, 'rollout'),
    ],
)
def test_wrong_parameters_end_in_a_line(tmp_path, capfd, wrong, said):
    arguments = ['--ros-args']
    for name, value in (parameters(tmp_path / 'run') | wrong).items():
        arguments += ['-p', f'{name}:={value}']
    assert trainer_node.main(arguments) == 2
    error = capfd.readouterr().err.splitlines()
    assert len(error) == 1 and said in error[0]
    assert not (tmp_path / 'run').exists()


def test_what_goes_wrong_in_a_training_is_said_and_ends_the_node(bench, tmp_path):
    out = tmp_path / 'run'
    train('promp', TASK, out, settings=SMALL | {'iterations': 1})
    process = bench.process('trainer_node', **parameters(out, alpha=0.5))
    assert process.wait(60 * slowness()) == 2
    assert 'is of a training with other settings (alpha' in bench.output()
