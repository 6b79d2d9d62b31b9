# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is left for the worker: order, common stamps, arrivals, losses, and handing it over."""

import math
import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from mbmrl_ros.nodes.common.inputs import Refusal
from mbmrl_ros.nodes.controller.reading_queue import ReadingQueue, deliver
from mbmrl_ros.spec.channels import Topic
from mbmrl_ros.types import Reading

PATIENCE_S = 20.0


def topic(**settings):
    return Topic(type='nav_msgs/msg/Odometry', timeout_s=1.0, **settings)


def test_a_mailbox_keeps_the_order_and_tells_when_stamps_meet():
    reading_queue = ReadingQueue({'a': topic(), 'b': topic()})
    items = [Refusal(topic, stamp, 0.0, '') for topic, stamp in [('a', 1.0), ('a', 2.0)]]
    assert [reading_queue.put(item) for item in items] == [False, False]
    assert np.isnan(ReadingQueue({'a': topic()}).newest_stamp_s())
    last = Refusal('b', 2.0, 0.0, '')
    assert reading_queue.put(last) and reading_queue.newest_stamp_s() == 2.0
    assert reading_queue.take() == ([*items, last], 2.0)
    assert reading_queue.take() == ([], 2.0)
    reading_queue.clear()
    assert reading_queue.take() == ([], None)


def test_nobody_waits_for_a_slow_topic():
    reading_queue = ReadingQueue({'a': topic(), 'b': topic(slow=True)})
    reading_queue.put(Refusal('b', 1.0, 6.0, ''))
    reading_queue.put(Refusal('a', 1.0, 7.0, ''))
    reading_queue.put(Refusal('a', 2.0, 8.0, ''))
    started = time.monotonic()
    assert reading_queue.wait_for_all(PATIENCE_S) == {'a': [7.0, 8.0]}
    assert time.monotonic() - started < PATIENCE_S / 2


def test_waiting_for_all_topics_ends_with_the_last_one_and_not_before():
    reading_queue = ReadingQueue({'a': topic(), 'b': topic()})
    reading_queue.put(Refusal('a', 1.0, 0.0, ''))
    started = time.monotonic()
    reading_queue.wait_for_all(0.05)
    assert time.monotonic() - started >= 0.05
    reading_queue.put(Refusal('b', 1.0, 0.0, ''))
    started = time.monotonic()
    reading_queue.wait_for_all(PATIENCE_S)
    assert time.monotonic() - started < PATIENCE_S / 2


def test_messages_that_are_missing_between_two_stamps_are_counted_as_lost():
    reading_queue = ReadingQueue({'a': topic(period_s=0.01), 'b': topic()})
    for stamp_s in (1.0, 1.0101, 1.02, 1.05, 1.0599, 0.2, 0.21):
        reading_queue.put(Reading('a', stamp_s, 0.0, ()))
        reading_queue.put(Reading('b', stamp_s, 0.0, ()))
    # 1.03 and 1.04 never came; 0.2 is a clock that was set back.
    assert reading_queue.lost == {'a': 2} and reading_queue.received == {'a': 7, 'b': 7}
    reading_queue.clear()
    reading_queue.put(Refusal('a', 9.0, 0.0, 'no joint'))
    assert reading_queue.lost == {'a': 2} and reading_queue.received['a'] == 8
    reading_queue = ReadingQueue({'a': topic(period_s=0.01)}, lockstep=True)
    for stamp_s in (1.0, 1.1):
        reading_queue.put(Reading('a', stamp_s, 0.0, ()))
    assert not reading_queue.lost, 'in lockstep it comes with every step'


@pytest.mark.parametrize('lockstep', [False, True])
def test_what_is_handed_over_says_what_was_refused_and_in_lockstep_comes_at_once(lockstep):
    taken: list[Reading] = []

    def on_reading(reading):
        taken.append(reading)
        return 'too old' if reading.stamp_s == 1.0 else None

    counters = SimpleNamespace(refused=Counter())
    spec = SimpleNamespace(period_s=1.0)
    controller = SimpleNamespace(on_reading=on_reading, counters=counters, stamp_s=0.0, spec=spec)
    reading_queue = ReadingQueue({'a': topic(), 'b': topic()}, lockstep)
    for item in (
        Reading('a', 1.0, 5.0, ()), Reading('a', 2.0, 6.0, ()), Refusal('b', 2.0, 7.0, 'no joint'),
    ):  # fmt: skip
        reading_queue.put(item)
    assert deliver(reading_queue, controller) == (2.0, 7.0, 'too old; no joint')
    assert [reading.received_s for reading in taken] == ([7.0, 7.0] if lockstep else [5.0, 6.0])
    # What the controller itself refuses, it counts itself.
    assert counters.refused == {'no joint': 1}
    before_s = time.monotonic()
    stamp_s, received_s, reasons = deliver(reading_queue, controller)
    assert (stamp_s, reasons) == (None, '') and before_s <= received_s <= time.monotonic()


class Listener:
    """Writes down what a controller is told, and remembers a state as one does."""

    def __init__(self):
        self.told, self.stamp_s = [], 0.0
        self.spec, self.counters = (
            SimpleNamespace(period_s=0.1),
            SimpleNamespace(refused=Counter()),
        )

    def on_reading(self, reading):
        self.told.append((reading.topic, reading.stamp_s))

    def record_missed_period(self, now_s):
        self.told.append(now_s)


def handed_over(items, lockstep=False, **topics):
    reading_queue = ReadingQueue(topics or {'a': topic()}, lockstep)
    for item in items:
        reading_queue.put(item)
    listener = Listener()
    deliver(reading_queue, listener)
    return listener.told


def readings(stamps, name='a'):
    """Readings that take 5 s to arrive, so that arrivals are told from stamps."""
    return [Reading(name, stamp_s, stamp_s + 5.0, ()) for stamp_s in stamps]


def test_what_came_in_periods_without_a_tick_is_told_period_by_period():
    # The last state is of 0.0 and the newest of 0.32: three periods of 0.107 s.
    told = handed_over(readings([0.04, 0.10, 0.16, 0.20, 0.26, 0.32]))
    expected = [('a', 0.04), ('a', 0.10), 5.10, ('a', 0.16), ('a', 0.20), 5.20]
    assert told == [*expected, ('a', 0.26), ('a', 0.32)]
    # Up to one and a half periods are one: the tick itself closes it.
    assert handed_over(readings([0.05, 0.14])) == [('a', 0.05), ('a', 0.14)]
    stamps = [0.1, 0.2]
    assert handed_over(readings(stamps), lockstep=True) == [('a', stamp) for stamp in stamps]


def test_a_period_ends_when_all_topics_but_slow_ones_have_come():
    late = Refusal('b', math.nan, 5.1, 'no joint')
    items = [
        *readings([0.1]), late, *readings([0.101], 'b'), *readings([0.2]), *readings([0.201], 'b'),
    ]  # fmt: skip
    told = handed_over(items, a=topic(), b=topic(), c=topic(slow=True))
    assert told == [('a', 0.1), ('b', 0.101), 5.101, ('a', 0.2), ('b', 0.201)]


@pytest.mark.parametrize(
    'stamps',
    [
        pytest.param([-3.0, -2.9], id='the clock was set back'),
        pytest.param([100.0, 100.1], id='too long ago'),
    ],
)
def test_there_is_nothing_to_make_up_for(stamps):
    assert handed_over(readings(stamps)) == [('a', stamp) for stamp in stamps]
