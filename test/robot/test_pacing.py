# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When commands go out: at a steady time of the period, after almost all ticks."""

import random

import pytest

from mbmrl_ros.robot.pacing import SendTimeController, planning_deadline_s


def test_commands_go_out_when_all_but_one_of_a_hundred_ticks_are_done():
    send_time, rng = SendTimeController(0.1), random.Random(0)
    assert send_time.after_s == 0.0
    for tick in range(500):
        send_time.record(0.7 if tick % 150 == 0 else 0.05 + 0.01 * rng.random())
    # 0.06 s is the end of what ticks mostly take, 3 % of the period the margin.
    assert send_time.after_s == pytest.approx(0.063, abs=0.0005)
    for _ in range(500):
        send_time.record(0.01)
    assert send_time.after_s == pytest.approx(0.013)
    for _ in range(500):
        send_time.record(7.0)
    assert send_time.after_s == pytest.approx(0.09), 'there must be time left to send it'


def test_the_time_of_sending_moves_slowly_so_that_periods_stay_even():
    send_time = SendTimeController(0.1)
    send_time.record(0.04)
    assert send_time.after_s == pytest.approx(0.043), 'the first tick sets it'
    before = send_time.after_s
    for tick_s in [0.9] * 10 + [0.0] * 500:
        send_time.record(tick_s)
        assert abs(send_time.after_s - before) <= 0.001 + 1e-12
        before = send_time.after_s
    assert send_time.after_s == pytest.approx(0.003)


def test_the_time_of_sending_stays_where_it_is_while_a_wait_becomes_a_later_begin():
    send_time = SendTimeController(0.1)
    for _ in range(300):
        send_time.record(0.054, 0.034)
    assert send_time.after_s == pytest.approx(0.057)
    for step in range(1, 39):
        begin_s = 0.001 * step
        late_s = 0.034 - begin_s
        waited_s = max(late_s, 0.0)
        send_time.record(0.02 + waited_s, waited_s, begin_s)
        # No sooner than what is computed takes, 20 ms and the margin.
        assert begin_s + send_time.after_s == pytest.approx(max(0.057, begin_s + 0.023))
    assert send_time.after_s == pytest.approx(0.023), 'though 300 ticks remember 54 ms'


def test_the_time_of_sending_goes_along_with_earlier_begins():
    send_time = SendTimeController(0.1)
    for step in range(400):
        # Readings come earlier too: such as were waited for at first tell nothing of later ones.
        waited_s = 0.001 if step == 0 else 0.0
        send_time.record(0.02 + waited_s, waited_s, -0.001 * step)
        assert send_time.after_s == pytest.approx(0.024 if step < 101 else 0.023, abs=0.0011)
    assert send_time.after_s == pytest.approx(0.023)


@pytest.mark.parametrize(
    ('goal_s', 'expected_s'),
    # 0.6: three quarters of the period; 0.9: 0.9 + 0.1 / 4 of it; without a goal as by default.
    [(0.06, 0.075), (0.09, 0.0925), (float('nan'), 0.075)],
)
def test_imagining_ends_after_the_goal_and_within_the_period(goal_s, expected_s):
    assert planning_deadline_s(0.1, goal_s) == pytest.approx(expected_s)
