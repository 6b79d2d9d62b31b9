# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The gate on a clock of the test's: a check every 20 ms, a reading and a command per period."""

import dataclasses
import math

import numpy as np
import pytest

from mbmrl_ros.config import UserError, override, parse
from mbmrl_ros.robot.gate import Gate, Heartbeat
from mbmrl_ros.spec.robot import RobotSpec, load_robot, robot_names
from mbmrl_ros.types import Reading

CHEETAH = load_robot('half_cheetah')
PERIOD = CHEETAH.period_s
PUSH = np.array([20.0, -20, 10, 5, -5, 1])
NOTHING = np.zeros(6)
ODOM = ('odom', (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))


def robot(*changes):
    """The half-cheetah with a battery, a floor under z, and other changes."""
    data = CHEETAH.model_dump()
    data['safety'] |= {'limits': {'z': (-0.2, 5.0)}, 'battery': {'minimum_v': 10.0}}
    return parse(RobotSpec, override(data, changes), 'test')


class Bench:
    """A gate, and everything around it that is well until a test says otherwise."""

    def __init__(self, spec=None, **options):
        self.spec = spec or robot()
        self.gate = Gate(self.spec, **options)
        self.now_s = 100.0
        self.command, self.silent = PUSH[: self.spec.action_size], set()
        self.held, self.voltage = True, 12.0
        self.readings = {
            topic: Reading(topic, 0.0, 0.0, self._resting(topic)) for topic in self.spec.topics
        }
        self.passed = None
        self.wobble = 0

    def _resting(self, topic):
        signals = self.spec.topic_signals(topic)
        return tuple(1.0 if signal.endswith('.w') else 0.0 for signal in signals)

    def set(self, signal, value):
        topic = signal.split(':')[0]
        values = list(self.readings[topic].values)
        values[self.spec.topic_signals(topic).index(signal)] = value
        self.readings[topic] = dataclasses.replace(self.readings[topic], values=tuple(values))

    def period(self):
        """Let a control period pass; return what the motors have at its end."""
        end_s = self.now_s + self.spec.period_s
        for topic, reading in self.readings.items():
            if topic not in self.silent:
                self.gate.on_reading(
                    dataclasses.replace(reading, stamp_s=self.now_s, received_s=self.now_s)
                )
        if 'battery' not in self.silent:
            self.gate.on_battery(self.voltage, self.now_s)
        if 'deadman' not in self.silent:
            self.gate.on_deadman(self.held, self.now_s)
        if 'command' not in self.silent:
            self.passed = self.gate.process_command(self.command, self.now_s)
        checks = np.arange(math.ceil(self.now_s / 0.02) * 0.02, end_s, 0.02)
        for check_s in checks:
            self.passed = self.gate.watch(check_s) or self.passed
        self.now_s = end_s
        return self.passed

    def run(self, seconds):
        for _ in range(max(1, round(seconds / self.spec.period_s))):
            self.period()
        return self.passed

    def until_fallback(self):
        """Return after how long the motors are at the fallback [s]."""
        start_s = self.now_s
        while not self.period().fell_back:
            assert self.now_s < start_s + 60
        return self.now_s - start_s


@pytest.fixture
def rig():
    rig = Bench(deadman_timeout_s=0.25)
    assert rig.run(1.0).kind == ''
    return rig


def test_a_command_passes_unchanged_while_all_is_well(rig):
    assert np.array_equal(rig.passed.values, PUSH) and rig.passed.reason == ''
    assert rig.gate.watch(rig.now_s) is None, 'and stands until the next'


def test_nothing_moves_before_everything_is_there():
    rig = Bench(deadman_timeout_s=0.25)
    expected = [
        ('deadman', 'deadman: nothing yet'),
        ('battery', 'battery: nothing yet'),
        ('odom', 'odom: no reading yet'),
        ('joint_states', 'joint_states: no reading yet'),
        ('command', 'command: nothing yet'),
    ]
    rig.silent = {name for name, _ in expected}
    for name, reason in expected:
        passed = rig.period()
        passed = rig.gate.watch(rig.now_s)
        assert passed.reason == reason and not passed.values.any()
        rig.silent.discard(name)
    assert rig.period().kind == ''


MILLIROBOT = load_robot('millirobot')


def refusals(rate, phase, watches):
    """Return the kinds of what a gate answers around a jump of 5 m, and how often it watched so.

    rate: of the sensors, per command. phase: from a reading to a command, in periods. watches:
    per reading.
    """
    gate, period_s = Gate(MILLIROBOT), MILLIROBOT.period_s
    command = np.full(2, 100.0)
    count = round(10 * rate)
    readings = [(step * period_s / rate, step) for step in range(count)]
    commands = [((step + phase) * period_s, None) for step in range(10)]
    answers, watched = [], 0
    for at_s, step in sorted(readings + commands, key=lambda event: event[0]):
        if step is None:
            if gate.process_command(command, at_s).kind not in ('missing', 'no rate'):
                answers.append(gate.process_command(command, at_s).kind)
            continue
        for topic in MILLIROBOT.topics:
            values = [1.0 if name.endswith('.w') else 0.0 for name in topic_signals(topic)]
            if topic == 'pose':
                values[:3] = 5.0 * (step >= count // 2), 1e-6 * math.sin(step), 0.06
            gate.on_reading(Reading(topic, at_s, at_s, tuple(values)))
        for _ in range(watches):
            passed = gate.watch(at_s)
            watched += passed is not None and passed.kind == 'jump'
    return answers, watched


def topic_signals(topic):
    return MILLIROBOT.topic_signals(topic)


@pytest.mark.parametrize('watches', [0, 2])
@pytest.mark.parametrize('phase', [0.02, 0.33, 0.61, 0.98])
@pytest.mark.parametrize('rate', [1, 3, 10, 100])
def test_a_jump_of_a_sensor_at_any_rate_stops_a_command_however_often_it_is_watched(
    rate, phase, watches
):
    answers, watched = refusals(rate, phase, watches)
    assert answers.count('jump') == 1 and set(answers) <= {'', 'limited', 'jump'}
    assert bool(watched) == bool(watches)


def silence(what):
    return lambda rig: rig.silent.add(what)


def value(name, new):
    return lambda rig: setattr(rig, name, new)


FAULTS = {
    'no commands': (silence('command'), 'command', 'command: stale, '),
    'a refused command': (value('command', 'command is not finite'), 'command', 'is not finite'),
    'not a number': (value('command', PUSH * math.nan), 'command', 'command is not finite'),
    'another shape': (value('command', PUSH[:3]), 'command', 'command has shape (3,)'),
    'a silent sensor': (silence('odom'), 'stale', 'odom: stale, '),
    'let go': (value('held', False), 'deadman', 'deadman: not held'),
    'a silent switch': (silence('deadman'), 'deadman', 'deadman: stale, '),
    'no voltage': (value('voltage', math.nan), 'battery', 'battery: no voltage'),
}


@pytest.mark.parametrize('name', FAULTS)
def test_a_fault_leads_to_the_fallback_in_time_and_going_on_needs_only_its_end(rig, name):
    bring_about, kind, reason = FAULTS[name]
    kept = vars(rig) | {'silent': set()}
    bring_about(rig)
    assert rig.until_fallback() <= 0.3
    assert rig.passed.kind == kind and reason in rig.passed.reason
    assert not rig.run(0.5).values.any()
    vars(rig).update(kept | {'now_s': rig.now_s})
    rig.run(0.1)
    assert np.array_equal(rig.passed.values, PUSH)


LATCHING = {
    'emergency stop': (lambda rig: rig.gate.e_stop('by hand'), None, 'by hand'),
    'low battery': (
        value('voltage', 9.5), value('voltage', 12.0), 'battery: 9.5 V, minimum 10 V',
    ),
    'outside of the area': (
        lambda rig: rig.set('odom:pose.pose.position.z', -0.5),
        lambda rig: rig.set('odom:pose.pose.position.z', 0.0),
        'z is -0.5, outside -0.2 to 5',
    ),
}  # fmt: skip


@pytest.mark.parametrize('name', LATCHING)
def test_what_must_not_end_by_itself_needs_its_end_and_a_release(rig, name):
    bring_about, end, reason = LATCHING[name]
    bring_about(rig)
    assert rig.until_fallback() <= 0.3
    assert (rig.passed.kind, rig.passed.reason) == ('stopped', reason)
    if end is not None:
        assert rig.gate.release(rig.now_s) == reason, 'released too early it latches again'
        end(rig)
    assert rig.run(1.0).kind == 'stopped' and not rig.passed.values.any()
    assert rig.gate.release(rig.now_s) is None
    rig.run(0.1)
    assert np.array_equal(rig.passed.values, PUSH)
    assert rig.gate.release(rig.now_s) == 'the emergency stop is not latched'


def test_a_silent_battery_counts_after_its_own_time_out(rig):
    rig.silent = {'battery'}
    # The last voltage came a period before the silence.
    assert 5.0 - PERIOD <= rig.until_fallback() <= 5.0 + 0.02 + PERIOD
    assert rig.passed.reason.startswith('battery: stale, ')


@pytest.mark.parametrize('name', robot_names())
@pytest.mark.parametrize('what', ['command', 'sensors'])
def test_every_shipped_robot_is_at_the_fallback_within_0_3_s_of_silence(name, what):
    spec = load_robot(name)
    rig = Bench(spec)
    resting = {'pose:pose.position.z': 0.1}
    for signal in spec.signals:
        if signal in resting:
            rig.set(signal, resting[signal])
    rig.command = np.asarray(spec.action.upper) / 2
    for count in range(20):
        # Sensors that do not stand still.
        rig.set(spec.signals[0], 1e-3 * count)
        rig.period()
    assert not rig.passed.fell_back, rig.passed.reason
    rig.silent = {'command'} if what == 'command' else set(spec.topics)
    assert rig.until_fallback() <= 0.3
    # The receiver checks once a period.
    assert spec.action.timeout_s + spec.period_s <= 0.3 + 1e-9


def test_a_command_out_of_limits_is_clamped_and_one_that_jumps_is_slowed_down():
    slow = robot('action.rate_limit=[100, 100, 100, 100, 100, 100]')
    rig = Bench(slow)
    rig.command = PUSH * 1000
    passed = [rig.period() for _ in range(300)]
    assert passed[-1].kind == 'limited'
    assert passed[-1].values.tolist() == [120, -90, 60, 120, -60, 30]
    # 100 N m / s: 1 N m per period of 0.01 s.
    steps = np.diff([p.values for p in passed], axis=0)
    assert np.abs(steps).max() == pytest.approx(1.0)


def test_commands_that_jitter_get_a_whole_period_and_a_flood_no_more_than_the_rate():
    rate = 100.0
    slow = robot(f'action.rate_limit={[rate] * 6}')
    rig = Bench(slow)
    rig.run(0.5)
    gate, now_s, sent = rig.gate, rig.now_s, []
    # Commands that move by exactly the limit per period, 5 and 15 ms apart in turns.
    for count in range(20):
        now_s += PERIOD * (0.5 if count % 2 else 1.5)
        for reading in rig.readings.values():
            gate.on_reading(dataclasses.replace(reading, stamp_s=now_s, received_s=now_s))
        gate.on_battery(12.0, now_s)
        wanted = PUSH + rate * PERIOD * (count + 1)
        passed = gate.process_command(wanted, now_s)
        assert passed.kind == '' and np.array_equal(passed.values, wanted)
    start, start_s = passed.values, now_s
    for _ in range(100):
        now_s += 1e-4
        passed = gate.process_command(start + 50, now_s)
        sent.append((now_s - start_s, (passed.values - start).max()))
    times, moved = np.array(sent).T
    assert (moved <= rate * (times + 2 * PERIOD) + 1e-9).all()
    assert moved[-1] >= rate * times[-1]


def test_after_a_fault_a_command_starts_from_the_fallback():
    rig = Bench(robot('action.rate_limit=[100, 100, 100, 100, 100, 100]'))
    assert rig.run(1.0).kind == ''
    rig.silent = {'odom'}
    rig.until_fallback()
    rig.silent = set()
    passed = rig.period()
    assert passed.kind == 'limited'
    # Two periods' worth at most after a pause.
    assert 0 < np.abs(passed.values).max() <= 2.0 + 1e-9


def test_the_gravest_reason_is_the_one_that_is_told(rig):
    rig.silent, rig.held, rig.voltage = {'odom', 'command'}, False, math.nan
    rig.run(0.5)
    for kind, end in [
        ('deadman', value('held', True)),
        ('battery', value('voltage', 12.0)),
        ('stale', lambda rig: rig.silent.discard('odom')),
        ('command', lambda rig: rig.silent.discard('command')),
    ]:
        assert rig.run(0.1).kind == kind
        rig.gate.e_stop('stop')
        assert rig.run(0.1).kind == 'stopped'
        rig.gate.release(rig.now_s)
        end(rig)
    assert rig.run(0.1).kind == ''


def test_whatever_comes_nothing_raises_and_what_goes_out_is_within_limits():
    rng = np.random.default_rng(0)
    rig = Bench(deadman_timeout_s=0.25)
    odd = [math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0]
    lower, upper = np.array(CHEETAH.action.lower), np.array(CHEETAH.action.upper)
    moved = 0
    for _ in range(2000):
        rig.command = rng.normal(0, 200, 6)
        if rng.random() < 0.1:
            rig.command[rng.integers(6)] = odd[rng.integers(6)]
        rig.silent = {name for name in ('odom', 'command') if rng.random() < 0.1}
        rig.held, rig.voltage = rng.random() < 0.9, 12.0 if rng.random() < 0.9 else math.nan
        if rng.random() < 0.02:
            rig.now_s += odd[5] + rng.normal() ** 2
        passed = rig.period()
        assert np.isfinite(passed.values).all()
        assert (passed.values >= lower).all() and (passed.values <= upper).all()
        assert passed.fell_back == (not passed.values.any())
        moved += not passed.fell_back
    assert moved > 500


def test_a_time_out_shorter_than_two_periods_is_refused():
    with pytest.raises(UserError, match=r'timeout_s is 0.01; half_cheetah has a period of 0.01 s'):
        Gate(CHEETAH, timeout_s=0.01)


def test_time_that_goes_back_counts_as_silence():
    watched = Heartbeat[float]('battery', 1.0)
    watched.take(12.0, 10.0)
    assert watched.timeout_reason(10.5) == '' and 'stale, -5.000 s' in watched.timeout_reason(5.0)
