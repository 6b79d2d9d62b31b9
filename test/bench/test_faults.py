# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The faults that long_run.py injects are faults: a gate without any ROS around it falls back.

Time is counted here, so that limits hold exactly and not as far as the machine is free.
"""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mbmrl_ros.config import parse
from mbmrl_ros.nodes.common.limits import state_bounds
from mbmrl_ros.nodes.common.messages import command_message, sensor_writer
from mbmrl_ros.nodes.common.settings import GateSettings
from mbmrl_ros.robot.gate import Gate
from mbmrl_ros.robot.readings import read_command, sensor_reader
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
ROBOTS = ('millirobot', 'pr2_left_arm')
# Before the fault, with it, after it.
GOOD, BAD, AGAIN = 6, 12, 16
CHECK_S = 0.02


@pytest.fixture(scope='module')
def faults():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module('faults')
    sys.path.remove(str(BENCHMARKS))


class Loop:
    """A robot, the messages of its sensors and of a controller, and a gate, by counted time."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec, self.gate, self.world = spec, Gate(spec), World(spec)
        self.gate.use_bounds(state_bounds(spec, GateSettings().joint_margin))
        self.world.reset(np.random.default_rng(0))
        self.newest, self.spoils = {}, {}
        self._wires = {t: (sensor_writer(spec, t), sensor_reader(spec, t)) for t in spec.topics}
        self._command = 0.25 * np.asarray(spec.action.upper) + 0.75 * np.asarray(spec.action.lower)
        self._step = 0

    def period(self) -> list[tuple[float, str]]:
        """Let a period pass; return times and reasons of what the gate sends."""
        self._step += 1
        now_s = self._step * self.spec.period_s
        self.world.step(self._command)
        for topic, (write, read) in self._wires.items():
            message = self._spoiled(topic, write(self.world.signals(), round(now_s * 1e9)))
            reading = None if message is None else read(message, now_s, now_s)
            if reading is not None and not isinstance(reading, str):
                self.gate.on_reading(replace(reading, received_s=now_s))
        # After the check that finds this state, the command that answers it.
        sent = []
        message = command_message(self.spec, self._command, round(now_s * 1e9))
        message = self._spoiled('spoiled_commands', message)
        if message is not None:
            passed = self.gate.process_command(read_command(self.spec, message), now_s)
            sent.append((now_s, passed.reason if passed.fell_back else ''))
        for check_s in np.arange(now_s + CHECK_S, now_s + self.spec.period_s - 1e-9, CHECK_S):
            passed = self.gate.watch(check_s)
            if passed is not None:
                sent.append((check_s, passed.reason))
        return sent

    def _spoiled(self, target, message):
        if target in self.spoils and self.spoils[target](message) is False:
            return None
        self.newest[target] = message
        return message


def guarded(faults, name: str) -> RobotSpec:
    spec = load_robot(name)
    data = faults.guarded(spec.model_dump(mode='json'), spec)
    # Here is no battery but that of the channels, and at most ten periods a second.
    data['safety']['battery'] = None
    return parse(RobotSpec, data, name)


@pytest.mark.parametrize('name', ROBOTS)
def test_every_fault_of_a_wire_makes_the_gate_fall_back_in_time_and_say_why(faults, name):
    spec = guarded(faults, name)
    newest = {}
    found = (*faults.sensor_faults(spec, newest), *faults.command_faults(spec))
    assert len({fault[0] for fault in found}) == len(found) > 12
    for fault, topic, spoil, reason, *kind in found:
        loop = Loop(spec)
        loop.newest = newest
        for _ in range(GOOD):
            sent = loop.period()
        assert sent and not any(text for _, text in sent), fault
        begin_s = (GOOD + 1) * spec.period_s
        loop.spoils[topic] = spoil
        sent = [item for _ in range(BAD * 2) for item in loop.period()]
        fell_s = [at_s for at_s, text in sent if text]
        assert fell_s and fell_s[0] - begin_s <= 0.3 - spec.period_s, fault
        assert any(reason in text for _, text in sent), (fault, sent[-3:])
        loop.spoils.clear()
        for _ in range(AGAIN):
            sent = loop.period()
        stopped = bool(loop.gate.stopped)
        assert stopped == (kind == ['latched']), fault
        assert stopped or not any(text for _, text in sent), (fault, sent)


def test_a_fault_is_good_only_if_all_of_it_is(faults):
    good = faults.Measured('one', 0.3, 'said', True, 'by itself', 1.0)
    assert good.good
    for change in (
        {'actuators_s': 0.31}, {'actuators_s': None}, {'reason': ''}, {'held': False},
        {'recovered_s': None},
    ):  # fmt: skip
        assert not replace(good, **change).good
