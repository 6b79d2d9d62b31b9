# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every fault of the gate's table (docs/robots/gate.md), injected into a robot that is driven."""

from __future__ import annotations

import functools
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.event_handler import PublisherEventCallbacks
from rig import SPOILED_COMMANDS, NodeBench, Watch
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from wires import (
    MessageFault,
    all_of,
    earlier,
    frozen,
    jumping,
    lost,
    named_twice,
    put,
    standing,
)

from mbmrl_ros.nodes.common.limits import joint_limits
from mbmrl_ros.nodes.common.messages import MESSAGES, command_message
from mbmrl_ros.robot.bounds import joint_bounds, position_topics
from mbmrl_ros.robot.message_fields import COVARIANCES, JOINT_STATE, NUMBER_ARRAY
from mbmrl_ros.spec.robot import RobotSpec

LIMIT_S = 0.3
STOP_S, SAY_S, HOLD_S, RECOVER_S = 10.0, 5.0, 1.0, 60.0
# Far beyond the limits that `guarded` gives a channel.
FAR = 2000.0


@dataclass(frozen=True)
class Fault:
    """reason: what /diagnostics has to say. recovery: the documented step.

    said_by: gate or simulation, whoever is left to say it. lasting: until it is ended.
    """

    name: str
    begin: Callable[[], object]
    end: Callable[[], object]
    reason: str
    recovery: str = 'by itself'
    said_by: str = 'gate'
    lasting: bool = True


@dataclass(frozen=True)
class Measured:
    """What a fault did. actuators_s: until the actuators were at the fallback, None if never.

    reason: what was said, empty if it was not. held: the fallback stayed until the recovery.
    """

    name: str
    actuators_s: float | None
    reason: str
    held: bool
    recovery: str
    recovered_s: float | None

    @property
    def good(self) -> bool:
        """Whether all is as documented."""
        in_time = self.actuators_s is not None and self.actuators_s <= LIMIT_S
        return in_time and bool(self.reason) and self.held and self.recovered_s is not None


def guarded(robot: dict[str, Any], spec: RobotSpec) -> dict[str, Any]:
    """Give a robot file an area, a lowest voltage, and a battery with a topic of its own."""
    limits = {name: [-FAR / 2, FAR / 2] for name in limited_channels(spec)}
    battery = {'minimum_v': 10.0, 'timeout_s': 0.25}
    safety = robot['safety'] | {'limits': limits, 'battery': battery}
    return robot | {'safety': safety}


def limited_channels(spec: RobotSpec) -> list[str]:
    """Return where the robot is, and how much battery it has if that is a channel."""
    names = [channel.name for channel in spec.state]
    return ['x' if 'x' in names else names[0], *(name for name in names if name == 'battery')]


def inject(rig: NodeBench, watch: Watch, fault: Fault, phase: float) -> Measured:
    """Bring a fault about, measure, end it, and take the documented step.

    phase: at which part of a control period.
    """
    rig.until(rig.driven, RECOVER_S)
    rig.spin(rig.spec.period_s * phase)
    watch.said.clear()
    first, at_s = len(rig.applied), time.monotonic()
    fault.begin()
    stopped = rig.until(lambda: rig.stopped(at_s), STOP_S)
    took_s = _took_s(rig, first, at_s) if stopped else None

    def reason() -> str:
        words = (text for who, text in watch.said if who == fault.said_by)
        return next((text for text in words if fault.reason in text), '')

    rig.until(reason, SAY_S)
    held = not fault.lasting or _holds(rig)
    fault.end()
    if 'release' in fault.recovery:
        held = held and _holds(rig)
        release(rig)
    ended_s = time.monotonic()
    recovered = rig.until(lambda: rig.driven(ended_s), RECOVER_S)
    recovered_s = _driven_since_s(rig) - ended_s if recovered else None
    return Measured(fault.name, took_s, reason(), held, fault.recovery, recovered_s)


def _took_s(rig: NodeBench, first: int, at_s: float) -> float:
    """Return how long after `at_s` the last step began that was not at the fallback yet.

    A step of the simulator is told at its end, and the next one begins then.
    """
    place = len(rig.applied)
    while place > first and rig.applied[place - 1].at_fallback:
        place -= 1
    return max(0.0, rig.applied[place - 1].arrived_s - at_s)


def _driven_since_s(rig: NodeBench) -> float:
    place = len(rig.applied) - 1
    while place > 0 and not rig.applied[place - 1].at_fallback:
        place -= 1
    return rig.applied[place].arrived_s


def _holds(rig: NodeBench) -> bool:
    start = len(rig.applied)
    rig.spin(HOLD_S)
    return all(applied.at_fallback for applied in rig.applied[start:])


def release(rig: NodeBench) -> None:
    """Release the controller, which hears the emergency stop too, and the gate."""
    for node in ('controller_node', 'command_gate'):
        future = rig.clients[f'{node}/release'].call_async(Trigger.Request())
        rig.until(future.done, SAY_S)


def faults(rig: NodeBench) -> list[Fault]:
    """Return all that can happen to this robot; services are there when they are needed."""
    rig.clients = {
        name: rig.node.create_client(kind, name)
        for name, kind in (
            ('controller_node/release', Trigger),
            ('command_gate/release', Trigger),
            ('command_gate/e_stop', Trigger),
            ('command_gate/change_state', ChangeState),
        )
    }
    rig.until(lambda: all(c.service_is_ready() for c in rig.clients.values()), STOP_S)
    return [
        *_wire_faults(rig),
        *_process_faults(rig),
        *_rival_faults(rig),
        *_operator_faults(rig),
    ]


def _wire_faults(rig: NodeBench) -> Iterator[Fault]:
    spoils, spec = rig.wires.spoils, rig.spec
    found = (*sensor_faults(spec, rig.wires.newest), *command_faults(spec))
    for name, topic, spoil, reason, *latched in found:
        recovery = '~/release' if latched == ['latched'] else 'by itself'
        yield Fault(
            name,
            lambda topic=topic, spoil=spoil: spoils.__setitem__(topic, spoil),
            spoils.clear,
            reason,
            recovery,
            lasting=latched != ['once'],
        )


def sensor_faults(spec: RobotSpec, newest: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield name, topic, what is done to its messages, reason, and `latched` or `once`.

    newest: the last whole message by topic.
    """
    for topic, settings in spec.topics.items():
        before = functools.partial(newest.__getitem__, topic)
        fields = [signal.split(':', 1)[1] for signal in spec.topic_signals(topic)]
        stale = f'{topic}: stale'
        yield f'{topic} silent', topic, lost, stale
        yield f'{topic} not a number', topic, put(fields[0], math.nan), stale
        yield f'{topic} infinite', topic, put(fields[-1], math.inf), stale
        if settings.type == JOINT_STATE:
            yield f'{topic} of another joint', topic, put('name.0', 'nobody'), stale
            yield f'{topic} cut short', topic, put(fields[0].partition('[')[0], []), stale
            joint = fields[0].partition('[')[2].rstrip(']')
            yield f'{topic} names a joint twice', topic, named_twice(joint, FAR), stale
        if settings.type == NUMBER_ARRAY:
            yield f'{topic} cut short', topic, put('data', []), stale
        else:
            yield f'{topic} stamps stand still', topic, standing(before), f'{topic}: '
        if settings.type in COVARIANCES:
            unmeasured = [path for path, _ in COVARIANCES[settings.type].values()]
            spoil = all_of(*(put(f'{path}.0', -1.0) for path in unmeasured))
            yield f'{topic} says that it did not measure', topic, spoil, stale
        if topic in position_topics(spec) and spec.action.field != 'position':
            lifeless = all_of(*(put(field, 0.0) for field in fields))
            yield f'{topic} all zero', topic, lifeless, 'is exactly zero'
        if turn := [field for field in fields if '.orientation.' in field]:
            yield f'{topic} no orientation', topic, all_of(*(put(f, 0.0) for f in turn)), stale
        if settings.frozen_s is not None:
            yield f'{topic} frozen', topic, frozen(before), 'values have stood still'
    first = next(name for name, topic in spec.topics.items() if topic.type != NUMBER_ARRAY)
    yield f'{first} time goes back', first, earlier(0.8), f'{first}: ', 'once'
    yield from _impossible(spec)
    for name in limited_channels(spec):
        topic, path = _source(spec, name)
        what = 'low as a channel' if name == 'battery' else 'outside of the area'
        yield f'{name} {what}', topic, put(path, -FAR), f'{name} is -2e+03', 'latched'


def _impossible(spec: RobotSpec) -> Iterator[tuple[Any, ...]]:
    """Yield a channel beyond its range and one that jumps, where the robot file knows of such."""
    raw = {c.name for c in spec.state if c.encoding == 'raw' and c.point is None}
    plausible = [(name, p) for name, p in spec.plausible.items() if name in raw]
    for name, upper in [(n, p.range[1]) for n, p in plausible if p.range is not None][:1]:
        topic, path = _source(spec, name)
        yield f'{name} out of range', topic, put(path, upper + 1), f'{name}: '
    for name, step in [(n, p.step) for n, p in plausible if p.step is not None][:1]:
        topic, path = _source(spec, name)
        yield f'{name} jumps', topic, jumping(path, (0.0, 2 * step)), 'changed by'
    joints = joint_bounds(spec, joint_limits(spec), 0.0).intervals
    for name, *_ in joints[:1]:
        topic, path = _source(spec, name)
        yield f'{name} beyond its joint', topic, put(path, FAR), f'{name}: '


def _source(spec: RobotSpec, name: str) -> tuple[str, str]:
    topic, path = spec.state[spec.channel_index(name)].signals[0].split(':', 1)
    return topic, path


def command_faults(spec: RobotSpec) -> Iterator[tuple[str, str, MessageFault, str]]:
    """Yield name, topic, what is done to commands on their way to the gate, reason."""
    array = spec.action.type == NUMBER_ARRAY
    field = 'data' if array else spec.action.field
    topic = SPOILED_COMMANDS
    yield 'controller silent', topic, lost, 'command: stale'
    yield 'command not a number', topic, put(f'{field}.0', math.nan), 'is not finite'
    yield 'command infinite', topic, put(f'{field}.0', math.inf), 'is not finite'
    yield 'command of another size', topic, put(field, [0.0]), 'command has 1 '
    if not array:
        yield 'command of another joint', topic, put('name.0', 'nobody'), 'has no joint'
        joint = spec.action.joints[0]
        yield 'command names a joint twice', topic, named_twice(joint, FAR), 'named 2 times'


def _process_faults(rig: NodeBench) -> Iterator[Fault]:
    def send(name: str, number: int) -> Callable[[], None]:
        return lambda: rig.processes[name].send_signal(number)

    def start(name: str) -> Callable[[], None]:
        return lambda: rig.start(name)

    stuck, goes_on = (send('controller_node', n) for n in (signal.SIGSTOP, signal.SIGCONT))
    killed, again = send('controller_node', signal.SIGKILL), start('controller_node')
    yield Fault('controller stuck', stuck, goes_on, 'command: stale')
    yield Fault('controller killed', killed, again, 'command: stale', 'start it again')
    off, on = (
        _transition(rig, transition)
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)
    )
    yield Fault('gate deactivated', off, on, 'inactive', 'activate it')
    hung_up = send('controller_node', signal.SIGHUP)
    yield Fault('controller hung up', hung_up, again, 'command: stale', 'start it again')
    endings = (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
    for name, number in zip(('stopped', 'hung up', 'killed'), endings):
        yield Fault(
            f'gate {name}', send('command_gate', number), start('command_gate'), 'command is ',
            'start it again', said_by='simulation',
        )  # fmt: skip


def _transition(rig: NodeBench, transition: int) -> Callable[[], None]:
    def change() -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        rig.clients['command_gate/change_state'].call_async(request)

    return change


def _rival_faults(rig: NodeBench) -> Iterator[Fault]:
    """Yield somebody who commands the motors past the gate.

    The fallback here is that of the gate: the wire to the simulator is not the rival's.
    """
    action = rig.spec.action
    rival = rig.node.create_publisher(MESSAGES[action.type], action.topic, 1)
    sending: list[Any] = []

    def send() -> None:
        for _ in sending:
            now_ns = rig.node.get_clock().now().nanoseconds
            rival.publish(command_message(rig.spec, np.asarray(action.fallback), now_ns))

    rig.node.create_timer(rig.spec.period_s / 2, send)
    yield Fault(
        'somebody else commands the motors', lambda: sending.append(True), sending.clear,
        'sends commands too',
    )  # fmt: skip


def _operator_faults(rig: NodeBench) -> Iterator[Fault]:
    # Of the two subscriptions of a node one is for latched messages, which this is not.
    silent = PublisherEventCallbacks(use_default_callbacks=False)
    stop = rig.node.create_publisher(Bool, 'e_stop', 1, event_callbacks=silent)
    service = rig.clients['command_gate/e_stop']
    rig.until(lambda: stop.get_subscription_count() >= 2, STOP_S)

    def say(name: str, value: Any) -> Callable[[], None]:
        return lambda: setattr(rig, name, value)

    yield Fault('switch let go', say('held', False), say('held', True), 'deadman: not held')
    yield Fault('switch silent', say('held', None), say('held', True), 'deadman: stale')
    yield Fault('battery silent', say('voltage', None), say('voltage', 12.0), 'battery: stale')
    yield Fault(
        'battery without a voltage', say('voltage', math.nan), say('voltage', 12.0),
        'battery: no voltage',
    )  # fmt: skip
    yield Fault(
        'battery low', say('voltage', 9.0), say('voltage', 12.0), 'battery: 9 V', '~/release'
    )
    yield Fault(
        'emergency stop by topic', lambda: stop.publish(Bool(data=True)), lambda: None,
        'emergency stop by topic', '~/release',
    )  # fmt: skip
    yield Fault(
        'emergency stop by service', lambda: service.call_async(Trigger.Request()), lambda: None,
        'emergency stop by service', '~/release',
    )  # fmt: skip


def as_row(measured: Measured) -> dict[str, Any]:
    """Return a fault's numbers for JSON, rounded to milliseconds."""
    row = asdict(measured) | {'good': measured.good}
    for key in ('actuators_s', 'recovered_s'):
        row[key] = None if row[key] is None else round(row[key], 3)
    return row
