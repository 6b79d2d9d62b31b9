# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Collecting, fitting and improving beside each other, over real topics, and what may go wrong."""

import signal

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from small_learning import HORIZON, ROBOT, parameters
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import Trigger

from mbmrl_ros.data.dataset import load_trajectories
from mbmrl_ros.nodes.learners import collector_node, model_learner_node, policy_learner_node
from mbmrl_ros.nodes.learners.mailbox import Mailbox
from mbmrl_ros.nodes.learners.parcels import Parcel, Version, message_of, unpack
from mbmrl_ros.nodes.learners.parts import EPISODE, POLICY, TOPICS
from mbmrl_ros.nodes.learners.plan import plan_part
from mbmrl_ros.nodes.learners.settings import SharedSettings
from mbmrl_ros.nodes.learners.signing import Signature, read_signature
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.machine import slowness

SPEC = load_robot(ROBOT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NODES = {
    'collector_node': collector_node, 'model_learner_node': model_learner_node,
    'policy_learner_node': policy_learner_node,
}  # fmt: skip


def start(bench, name, out, **given):
    return bench._start(NODES[name].make_node, {}, parameters('mb_mpo', out) | given, '')


@pytest.fixture
def key(tmp_path):
    """What a node is told of a key; the key is in the file."""
    path = tmp_path / 'key'
    path.write_bytes(bytes(range(100, 140)))
    path.chmod(0o600)
    return {'key_file': str(path)}


def part_in(out):
    given = parameters('mb_mpo', out)
    return plan_part(SharedSettings(**given | {'settings': tuple(given['settings'])}))


def number(values, name):
    return int(float(values.get(name, 0)))


def collected(bench, more):
    """Wait until there are so many more pieces, and return how many there are."""
    before = number(bench.status('collection')[2], 'pieces')
    bench.until_status('collection', lambda _, v: number(v, 'pieces') >= before + more)
    return number(bench.status('collection')[2], 'pieces')


def test_a_policy_is_learned_while_the_robot_is_driven(bench, tmp_path, key):
    applied = bench.listen(JointState, 'sim_node/applied_command', depth=1000)
    pieces = bench.listen(UInt8MultiArray, TOPICS[EPISODE])
    bench.sim(robot=ROBOT, lockstep=True)
    start(bench, 'model_learner_node', tmp_path, **key)
    start(bench, 'policy_learner_node', tmp_path, **key)
    collector = start(bench, 'collector_node', tmp_path, lockstep=True, **key)
    bench.until_status('model learning', lambda _, v: 'validation_error' in v)
    bench.until_status('policy learning', lambda _, v: 'imagined_return' in v)
    bench.until_status('collection', lambda _, v: number(v, 'last.policy_number') > 0)
    assert bench.call(Trigger, 'collector_node/pause').success
    bench.until_status('collection', lambda text, _: text.startswith('paused'))
    collector.trigger_deactivate()

    # On disk and on the topic is what the actuators got, piece by piece.
    part = part_in(tmp_path)
    commands = np.stack([from_units(SPEC, np.array(m.effort)) for m in applied])
    first = load_trajectories(tmp_path / 'collector' / 'data' / '0001.safetensors')[0]
    assert first.steps == HORIZON
    signature = read_signature(**key)
    data = bytes(pieces[0].data)
    sent = unpack(data, EPISODE, part.origin, part.layouts[EPISODE], signature)
    assert (sent.tensors['states'] == first.states).all()
    actions = first.actions.numpy()
    places = [
        place
        for place in range(len(commands) - HORIZON)
        if np.allclose(commands[place : place + HORIZON], actions, atol=1e-5)
    ]
    assert len(places) == 1

    # A learner that pauses makes nothing; what it has is on disk when it is asked for it.
    assert bench.call(Trigger, 'model_learner_node/checkpoint').success
    checkpoint = tmp_path / 'model' / 'checkpoint.safetensors'
    bench.until(checkpoint.exists)
    assert bench.call(Trigger, 'policy_learner_node/pause').success
    bench.until_status('policy learning', lambda text, _: text == 'paused')
    version = bench.status('policy learning')[2]['version']
    bench.until_status('policy learning', lambda text, _: text == 'paused')
    assert bench.status('policy learning')[2]['version'] == version
    assert bench.call(Trigger, 'policy_learner_node/resume').success
    bench.until_status('policy learning', lambda _, v: v['version'] != version)


def test_bytes_of_others_never_reach_the_robot(bench, tmp_path, key):
    part = part_in(tmp_path)
    policy = part.stages.begin(part.search)
    spoilt = {name: value * float('nan') for name, value in policy.items()}
    publisher = bench.node.create_publisher(UInt8MultiArray, TOPICS[POLICY], LATCHED)

    ours = read_signature(**key)

    def send(version, tensors=policy, origin=part.origin, cut=None, signature=ours):
        data = Parcel(POLICY, Version(*version), tensors).pack(origin)[:cut]
        publisher.publish(message_of(signature.sign(data)))

    def says(reason):
        bench.until_status('collection', lambda text, _: reason in text)

    bench.sim(robot=ROBOT, lockstep=True)
    start(bench, 'collector_node', tmp_path, lockstep=True, **key)
    send((1, 7))
    bench.until_status('collection', lambda _, v: v.get('policy.version') == '1.7')
    for message, reason in [
        ({'version': (1, 6)}, 'older than what is here'),
        ({'version': (1, 8), 'tensors': spoilt}, 'is not finite'),
        ({'version': (1, 9), 'origin': part.origin._replace(robot='0')}, 'of another robot'),
        ({'version': (1, 10), 'cut': -20}, 'damaged'),
        ({'version': (1, 10), 'signature': Signature()}, 'not signed'),
        ({'version': (1, 10), 'signature': Signature(b'x' * 32)}, 'wrongly signed'),
    ]:
        send(**message)
        says(reason)
    collected(bench, 2)
    values = bench.status('collection')[2]
    assert (values['policy.version'], values['last.policy_number']) == ('1.7', '7')
    send((1, 11))
    bench.until_status('collection', lambda text, v: v['policy.version'] == '1.11')
    assert bench.status('collection')[0] == b'\0', 'all is well again'


def test_who_hears_nothing_for_a_while_misses_no_episode_and_gets_the_newest_policy(
    bench, tmp_path, key
):
    part = part_in(tmp_path)
    signature = read_signature(**key)
    episodes = Mailbox(EPISODE, part.origin, part.layouts[EPISODE], True, signature)
    profile = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    came = []

    def connect():
        publisher = bench.node.create_publisher(UInt8MultiArray, TOPICS[POLICY], LATCHED)
        heard = bench.node.create_subscription(
            UInt8MultiArray,
            TOPICS[EPISODE],
            lambda message: came.append(episodes.accept(message)),
            profile,
        )
        return publisher, heard

    def send(publisher, version):
        data = Parcel(POLICY, Version(*version), part.stages.begin(part.search)).pack(part.origin)
        publisher.publish(message_of(signature.sign(data)))

    bench.sim(robot=ROBOT, lockstep=True)
    start(bench, 'collector_node', tmp_path, lockstep=True, **key)
    publisher, heard = connect()
    send(publisher, (1, 1))
    bench.until_status('collection', lambda _, v: v.get('policy.version') == '1.1')
    bench.until(lambda: any(came))
    # The network is gone: the robot goes on with what it has.
    bench.node.destroy_publisher(publisher)
    bench.node.destroy_subscription(heard)
    known = {parcel.version for parcel in came if parcel}
    wanted = len(known) + 3
    bench.until_status('collection', lambda _, v: number(v, 'pieces') >= wanted)
    values = bench.status('collection')[2]
    assert values['policy.version'] == '1.1' and bench.status('collection')[0] == b'\0'
    # It is back: all that was missed comes, each once, and of policies the newest.
    publisher, heard = connect()
    send(publisher, (1, 9))
    bench.until_status('collection', lambda _, v: v['policy.version'] == '1.9')
    missed = {Version(0, n) for n in range(1, wanted + 1)} - known
    bench.until(lambda: missed <= {parcel.version for parcel in came if parcel})
    versions = [parcel.version for parcel in came if parcel]
    assert len(missed) >= 3 and len(set(versions)) == len(versions)
    assert not episodes.refused


# Six processes, with the machine for themselves.
@pytest.mark.timing
def test_a_node_that_is_killed_costs_the_others_nothing_and_goes_on(bench, tmp_path):
    bench.sim(robot=ROBOT, lockstep=True)
    given = parameters('mb_mpo', tmp_path) | {'checkpoint_s': 0.01}
    collecting = parameters('mb_mpo', tmp_path) | {'lockstep': True}
    nodes = {
        'model_learner_node': bench.process('model_learner_node', **given),
        'policy_learner_node': bench.process('policy_learner_node', **given),
        'collector_node': bench.process('collector_node', **collecting),
    }

    def kill(name):
        nodes[name].send_signal(signal.SIGKILL)
        nodes[name].wait(10)

    def again(name):
        more = collecting if name == 'collector_node' else given
        nodes[name] = bench.process(name, **more)

    def goes_on(task, start):
        """Wait for something new of a learner's that was started so often."""
        bench.until_status(task, lambda _, v: v.get('version', '').startswith(f'{start}.'))
        before = bench.status(task)[2]['version']
        bench.until_status(task, lambda _, v: v.get('version', before) != before)

    goes_on('model learning', 1)
    goes_on('policy learning', 1)
    kill('model_learner_node')
    collected(bench, 2)
    goes_on('policy learning', 1)
    again('model_learner_node')
    goes_on('model learning', 2)
    bench.until_status('policy learning', lambda _, v: v['model.version'].startswith('2.'))

    kill('policy_learner_node')
    collected(bench, 2)
    again('policy_learner_node')
    goes_on('policy learning', 2)
    bench.until_status('collection', lambda _, v: v['policy.version'].startswith('2.'))

    kill('collector_node')
    files = sorted((tmp_path / 'collector' / 'data').iterdir())
    kept = {path: path.read_bytes() for path in files if path.suffix == '.safetensors'}
    goes_on('policy learning', 2)
    again('collector_node')
    bench.until_status('collection', lambda _, v: number(v, 'pieces') > len(kept))
    assert all(path.read_bytes() == data for path, data in kept.items())
    bench.until_status('model learning', lambda _, v: int(v['episode.version'][2:]) > len(kept))


def test_the_robot_is_at_its_fallback_soon_after_its_collector_was_killed(bench, tmp_path):
    applied = bench.listen(JointState, 'sim_node/applied_command', depth=1000)
    bench.sim(robot=ROBOT, wall_time=True)
    process = bench.process('collector_node', **parameters('mb_mpo', tmp_path))
    bench.until(lambda: any(any(m.effort) for m in applied[-5:]), 'the robot to be driven')
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    bench.until(lambda: len(applied) > 5 and all(is_fallback(m) for m in applied[-5:]))
    # By the stamps of the simulator: this process may be behind with its messages.
    driven = max(place for place, message in enumerate(applied) if not is_fallback(message))
    first = applied[driven + 1]
    assert stamp_s(first) - stamp_s(applied[driven]) < 0.3 * slowness()
    assert not any(first.effort)


def is_fallback(message):
    return message.header.frame_id.startswith('fallback')


def stamp_s(message):
    return message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
