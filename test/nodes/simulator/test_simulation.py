# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times are a fake steady clock; commands are those of the half-cheetah."""

import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.nodes.simulator.schedules import parse_schedule
from mbmrl_ros.nodes.simulator.simulation import Simulation
from mbmrl_ros.sim.disturbances import Disturbance
from mbmrl_ros.sim.rates import real_time_rates
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot

SPEC = load_robot('half_cheetah')
PERIOD_NS = 10_000_000
PUSH = np.array([60.0, -45, 30, 60, -30, 15])
NOTHING = np.zeros(6)
THIGH = Disturbance('disabled_joint', 'bthigh')


def simulation(
    lockstep: bool = False, schedule: tuple[str, ...] = (), seed: int = 3
) -> Simulation:
    return Simulation(SPEC, parse_schedule(SPEC, schedule), seed, lockstep, 0.1, 5.0)


def lockstep_step(sim: Simulation, command: np.ndarray, now_s: float = 0.0) -> None:
    assert sim.offer(command, sim.stamp_ns, now_s)
    sim.step(now_s)


def test_time_starts_at_one_period_and_goes_on_by_one_period_per_step():
    sim = simulation()
    stamps = [sim.stamp_ns]
    for _ in range(1000):
        sim.step(0.0)
        stamps.append(sim.stamp_ns)
    assert stamps == [PERIOD_NS * (step + 1) for step in range(1001)]


def test_in_real_time_a_step_is_due_at_every_period_and_the_last_command_is_held():
    sim = simulation()
    assert not sim.offer(PUSH, None, 0.0), 'a command by itself makes no step'
    applied = []
    for now_s in (0.01, 0.02, 0.06, 0.1):
        assert sim.due(now_s)
        applied.append(sim.step(now_s))
    # It came while the first step went on, and moves the robot from the second one on.
    assert (applied[0].values == NOTHING).all() and applied[0].reason == 'no command yet'
    assert all((a.values == PUSH).all() and a.reason == '' for a in applied[1:])


def test_in_real_time_an_old_command_gives_way_to_the_fallback_until_a_new_one_comes():
    sim = simulation()
    assert sim.step(0.0).reason == 'no command yet'
    sim.offer(PUSH, None, 1.0)
    sim.step(1.1001)
    stale = sim.step(1.11)
    assert (stale.values == NOTHING).all() and 'command is 0.100 s old' in stale.reason
    sim.offer(PUSH, None, 1.2)
    sim.step(1.2)
    assert sim.step(1.21).reason == ''


def test_a_command_out_of_limits_is_clamped_and_counted():
    sim = simulation(lockstep=True)
    lockstep_step(sim, PUSH * 1000)
    assert (sim.last.values == [120, -90, 60, 120, -60, 30]).all()
    assert sim.clamped == 1
    lockstep_step(sim, PUSH)
    assert sim.clamped == 1


def test_a_refused_command_is_counted_and_the_one_before_it_held_in_real_time():
    sim = simulation()
    sim.offer(PUSH, None, 0.0)
    sim.offer('command is not finite', None, 0.01)
    sim.step(0.01)
    assert (sim.step(0.02).values == PUSH).all()
    assert sim.refused == {'command is not finite': 1}


def test_in_lockstep_only_the_answer_to_the_present_state_makes_a_step():
    sim = simulation(lockstep=True)
    now = sim.stamp_ns
    assert not sim.due(1000.0), 'it waits for its first command for as long as that takes'
    for stamp in (now - PERIOD_NS, now + PERIOD_NS, 0, None):
        assert not sim.offer(PUSH, stamp, 0.0)
    assert sim.offer(PUSH, now, 0.0)
    assert not sim.offer(NOTHING, now, 0.0), 'the first answer counts'
    assert (sim.step(0.0).values == PUSH).all()
    assert not sim.due(0.1)


def test_a_refused_answer_in_lockstep_costs_one_step_at_the_fallback():
    sim = simulation(lockstep=True)
    lockstep_step(sim, PUSH)
    assert sim.offer('command is not finite', sim.stamp_ns, 0.0)
    applied = sim.step(0.0)
    assert (applied.values == NOTHING).all() and applied.reason == 'command is not finite'
    lockstep_step(sim, PUSH)
    assert sim.last.reason == ''


def test_without_answers_lockstep_goes_on_in_real_time_at_the_fallback_until_one_comes():
    sim = simulation(lockstep=True)
    lockstep_step(sim, PUSH, now_s=0.0)
    assert not sim.due(5.0) and sim.due(5.1)
    assert (sim.step(5.1).values == NOTHING).all() and 'no command for 5.1 s' in sim.last.reason
    old = sim.stamp_ns - PERIOD_NS
    assert sim.due(5.11) and sim.step(5.11)
    # The answer to an earlier state of that time shows that somebody is there again.
    assert not sim.offer(PUSH, old, 5.12)
    assert not sim.due(5.13), 'it waits again'
    lockstep_step(sim, PUSH, now_s=5.2)
    assert (sim.last.values == PUSH).all() and sim.last.reason == ''


def test_a_late_answer_from_before_the_time_out_does_not_end_it():
    sim = simulation(lockstep=True)
    lockstep_step(sim, PUSH, now_s=0.0)
    before = sim.stamp_ns - PERIOD_NS
    assert sim.due(6.0)
    sim.step(6.0)
    assert not sim.offer(PUSH, before, 6.0) and sim.due(6.01)


def test_lockstep_plays_what_the_world_itself_does_under_the_schedule():
    sim = simulation(lockstep=True, schedule=('disabled_joint:bthigh@3-6',))
    world = World(SPEC)
    world.reset(np.random.default_rng(3))
    for step in range(10):
        world.set_disturbances((THIGH,) if 3 <= step < 6 else ())
        world.step(PUSH)
        lockstep_step(sim, PUSH)
        assert (sim.world.signals() == world.signals()).all(), step


def test_a_reset_starts_schedule_and_disturbances_afresh_while_time_goes_on_with_a_gap():
    sim = simulation(schedule=('disabled_joint:bthigh@2',))
    shin = Disturbance('disabled_joint', 'fshin')
    sim.disturb(shin, on=True)
    for _ in range(4):
        sim.step(0.0)
    assert sim.disturbances == (THIGH, shin)
    before = sim.stamp_ns
    sim.reset(0.0)
    # More than one and a half periods: no history takes it for a transition.
    assert sim.stamp_ns == before + 2 * PERIOD_NS
    assert sim.step_count == 0 and sim.disturbances == ()
    stamps = [sim.stamp_ns]
    for _ in range(3):
        sim.step(0.0)
        stamps.append(sim.stamp_ns)
    assert np.diff(stamps).tolist() == [PERIOD_NS] * 3
    assert sim.disturbances == (THIGH,)


def test_start_states_differ_from_reset_to_reset_and_come_again_with_the_seed():
    sim = simulation(seed=5)
    first = sim.world.signals()
    sim.reset(0.0)
    second = sim.world.signals()
    assert (first != second).any()
    sim.seed(5)
    sim.reset(0.0)
    assert (sim.world.signals() == first).all()


def test_a_pause_stops_time_and_keeps_the_answer_that_came_in_it():
    sim = simulation(lockstep=True)
    sim.paused = True
    assert not sim.offer(PUSH, sim.stamp_ns, 0.0) and not sim.due(0.0)
    sim.paused = False
    assert sim.due(0.1)
    assert (sim.step(0.1).values == PUSH).all()


def test_a_pause_counts_for_no_time_out_in_lockstep():
    sim = simulation(lockstep=True)
    lockstep_step(sim, PUSH)
    sim.paused = True
    assert not sim.due(100.0)
    sim.paused = False
    sim.resume(100.0)
    assert not sim.due(100.1)


def test_physics_that_are_not_finite_stop_the_simulation_until_a_reset():
    sim = simulation(lockstep=True)
    sim.world.data.qvel[:] = 1e200
    lockstep_step(sim, PUSH)
    stamp = sim.stamp_ns
    assert sim.mode.startswith('stopped')
    assert not sim.offer(PUSH, stamp, 0.0) and not sim.due(100.0)
    assert not sim.waiting
    sim.reset(0.0)
    assert sim.stamp_ns > stamp
    lockstep_step(sim, PUSH)


def test_after_a_pause_in_real_time_the_command_from_before_it_is_too_old():
    sim = simulation()
    sim.offer(PUSH, None, 0.0)
    sim.step(0.01)
    sim.paused = True
    sim.resume(100.0)
    sim.paused = False
    assert 'command is 100.000 s old' in sim.step(100.01).reason


def test_actuators_that_are_faster_than_sensors_cut_a_period_up_too():
    for name, physics_steps in (('millirobot', 20), ('pr2_left_arm', 10)):
        spec = load_robot(name)
        rates = real_time_rates(spec)
        assert (rates.step_s, rates.steps, rates.physics_steps) == (0.02, 5, physics_steps)
        # Sensors come once a period all the same.
        assert rates.every == dict.fromkeys(spec.topics, 5)


def test_with_sensors_faster_than_commands_steps_are_as_short_as_they_and_physics_the_same():
    coarse = Simulation(slow(1), (), 3, True, 0.1, 5.0)
    fine = Simulation(slow(10), parse_schedule(slow(10), ('disabled_joint:bthigh@1',)), 3, False,
                      0.5, 5.0)  # fmt: skip
    assert fine.rates.step_s == 0.01 and fine.rates.every == {'odom': 1, 'joint_states': 2}
    fine.offer(PUSH, None, 0.0)
    fine.resume(0.0)
    lockstep_step(coarse, PUSH)
    stamps = [fine.stamp_ns]
    for step in range(10):
        assert fine.disturbances == ()
        fine.step(0.01 * step)
        stamps.append(fine.stamp_ns)
    assert np.diff(stamps).tolist() == [PERIOD_NS] * 10 and fine.stamp_ns == coarse.stamp_ns
    assert (fine.world.signals() == coarse.world.signals()).all()
    # Schedules count control periods, as in lockstep.
    assert fine.period_count == 1 and fine.disturbances == (THIGH,)


def slow(times: int) -> RobotSpec:
    """The half-cheetah at ten physics steps a period; odom comes `times` a period."""
    data = SPEC.model_dump()
    data['period_s'] = 0.1
    data['simulation']['physics_steps'] = 10
    data['topics']['odom']['period_s'] = 0.1 / times
    data['topics']['joint_states']['period_s'] = 0.02
    return parse(RobotSpec, data, 'test')


@pytest.mark.parametrize(
    ('times', 'reason'),
    [(3, 'odom .0.0333333 s. is no multiple'), (20, 'sensors come 20 times a period')],
)
def test_rates_that_do_not_go_into_each_other_are_refused(times, reason):
    with pytest.raises(UserError, match=reason):
        Simulation(slow(times), (), 3, False, 0.5, 5.0)


@pytest.mark.parametrize('lockstep', [False, True])
def test_a_disturbance_by_hand_counts_from_the_next_step_on(lockstep):
    sim = simulation(lockstep)
    sim.disturb(THIGH, on=True)
    sim.disturb(THIGH, on=True)
    assert sim.disturbances == (THIGH,)
    sim.step(0.0)
    assert sim.world.disturbances == (THIGH,)
    sim.disturb(THIGH, on=False)
    sim.step(0.0)
    assert sim.world.disturbances == ()
