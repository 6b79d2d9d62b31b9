# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model that is learned while a robot is driven by plans in it, over real topics."""

import signal

import numpy as np
import pytest
import torch
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from small_learning import STEPS, model_parameters
from std_msgs.msg import UInt8MultiArray

from mbmrl_ros.data.dataset import load_trajectories
from mbmrl_ros.nodes.learners import collector_node, model_learner_node
from mbmrl_ros.nodes.learners.parcels import Parcel, Version, message_of
from mbmrl_ros.nodes.learners.parts import MODEL, TOPICS, sent
from mbmrl_ros.nodes.learners.plan import plan_part
from mbmrl_ros.nodes.learners.settings import SharedSettings
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def part_in(out):
    given = model_parameters(out)
    return plan_part(SharedSettings(**given | {'settings': tuple(given['settings'])}))


def collect(bench, out, **changes):
    """Start a simulator and a collector, whose first two episodes are at random."""
    bench.sim(robot='half_cheetah', lockstep=True)
    given = model_parameters(out, **changes) | {'lockstep': True}
    return bench._start(collector_node.make_node, {}, given, '')


def number(values, name):
    return int(float(values.get(name, 0)))


def test_the_robot_is_driven_by_the_newest_model_and_all_that_it_does_is_kept(bench, tmp_path):
    applied = bench.listen(JointState, 'sim_node/applied_command', depth=1000)
    collector = collect(bench, tmp_path)
    bench.until_status('collection', lambda _, v: number(v, 'pieces') >= 1)
    assert 'random' in bench.status('collection')[2]['model.driving']
    given = model_parameters(tmp_path)
    bench._start(model_learner_node.make_node, {}, given, '')
    bench.until_status('collection', lambda _, v: number(v, 'last.model_number') > 1)
    bench.until_status('model learning', lambda _, v: float(v['error_on_new_data']) > 0)
    collector.trigger_deactivate()

    # Pieces are whole episodes, exchanges of models are no gaps, and all of it was applied.
    count = number(bench.status('collection')[2], 'pieces')
    commands = np.stack([from_units(SPEC, np.array(m.effort)) for m in applied])
    for piece in range(1, count + 1):
        path = tmp_path / 'collector' / 'data' / f'{piece:04d}.safetensors'
        [trajectory] = load_trajectories(path)
        assert trajectory.steps == STEPS
        actions = trajectory.actions.numpy()
        windows = np.lib.stride_tricks.sliding_window_view(commands, STEPS, 0)
        assert np.isclose(windows.transpose(0, 2, 1), actions, atol=1e-5).all((1, 2)).any()


def test_a_newer_model_counts_from_the_next_period_on_and_bad_ones_never(bench, tmp_path):
    part = part_in(tmp_path)
    model = {k: v.detach() for k, v in sent(part.begin_models({}).tensors()).items()}
    spoilt = {name: value * float('nan') for name, value in model.items()}
    publisher = bench.node.create_publisher(UInt8MultiArray, TOPICS[MODEL], LATCHED)

    def send(version, tensors=model, origin=part.origin, cut=None):
        data = Parcel(MODEL, Version(*version), tensors).pack(origin)[:cut]
        publisher.publish(message_of(data))

    def drives(version):
        bench.until_status('collection', lambda _, v: v.get('model.driving') == version)

    collect(bench, tmp_path)
    send((1, 7))
    drives('1.7')
    for message, reason in [
        ({'version': (1, 6)}, 'older than what is here'),
        ({'version': (1, 8), 'tensors': spoilt}, 'is not finite'),
        ({'version': (1, 9), 'origin': part.origin._replace(robot='0')}, 'of another robot'),
        ({'version': (1, 9), 'origin': part.origin._replace(algorithm='mb')}, 'of another algo'),
        ({'version': (1, 10), 'cut': -20}, 'damaged'),
        ({'version': (1, 10), 'tensors': model | {'params/more': torch.zeros(1)}}, 'is unknown'),
    ]:
        send(**message)
        bench.until_status('collection', lambda text, _, reason=reason: reason in text)
        assert bench.status('collection')[2]['model.driving'] == '1.7'
    send((1, 11))
    drives('1.11')
    assert bench.status('collection')[0] == b'\0', 'all is well again'


@pytest.mark.timing
def test_a_learner_that_is_killed_costs_the_robot_nothing_and_goes_on(bench, tmp_path):
    # So many pieces that all of them are still sent to who comes late.
    many = {'iterations': 500}
    given = model_parameters(tmp_path, **many) | {'checkpoint_s': 0.01}
    learner = bench.process('model_learner_node', **given)
    collect(bench, tmp_path, **many)

    def driven_by(start):
        bench.until_status(
            'collection', lambda _, v: v.get('model.driving', '').startswith(f'{start}.')
        )

    driven_by(1)
    bench.until((tmp_path / 'model' / 'bundle' / 'bundle.json').exists)
    learner.send_signal(signal.SIGKILL)
    learner.wait(10)
    before = number(bench.status('collection')[2], 'pieces')
    bench.until_status('collection', lambda _, v: number(v, 'pieces') >= before + 2)
    assert bench.status('collection')[2]['model.driving'].startswith('1.')
    bench.process('model_learner_node', **given)
    driven_by(2)
    # It has all that was collected while it was not there.
    bench.until_status('model learning', lambda _, v: int(v['episode.version'][2:]) > before)
    steps = number(bench.status('model learning')[2], 'environment_steps')
    assert steps >= before * STEPS
