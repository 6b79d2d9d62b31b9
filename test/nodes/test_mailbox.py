# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is left for the worker: order, common stamps, arrivals, losses, and handing it over."""

import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from mbmrl_ros.channels import Topic
from mbmrl_ros.nodes.mailbox import Mailbox, Refusal, hand_over
from mbmrl_ros.types import Reading

PATIENCE_S = 20.0


def topic(**settings):
    return Topic(type='nav_msgs/msg/Odometry', timeout_s=1.0, **settings)


def test_a_mailbox_keeps_the_order_and_tells_when_stamps_meet():
    mailbox = Mailbox({'a': topic(), 'b': topic()})
    items = [Refusal(topic, stamp, 0.0, '') for topic, stamp in [('a', 1.0), ('a', 2.0)]]
    assert [mailbox.put(item) for item in items] == [False, False]
    assert np.isnan(Mailbox({'a': topic()}).newest_stamp_s)
    last = Refusal('b', 2.0, 0.0, '')
    assert mailbox.put(last) and mailbox.newest_stamp_s == 2.0
    assert mailbox.take() == ([*items, last], 2.0)
    assert mailbox.take() == ([], 2.0)
    mailbox.clear()
    assert mailbox.take() == ([], None)


def test_nobody_waits_for_a_slow_topic():
    mailbox = Mailbox({'a': topic(), 'b': topic(slow=True)})
    mailbox.put(Refusal('b', 1.0, 6.0, ''))
    mailbox.put(Refusal('a', 1.0, 7.0, ''))
    mailbox.put(Refusal('a', 2.0, 8.0, ''))
    started = time.monotonic()
    assert mailbox.wait_for_all(PATIENCE_S) == {'a': [7.0, 8.0]}
    assert time.monotonic() - started < PATIENCE_S / 2


def test_waiting_for_all_topics_ends_with_the_last_one_and_not_before():
    mailbox = Mailbox({'a': topic(), 'b': topic()})
    mailbox.put(Refusal('a', 1.0, 0.0, ''))
    started = time.monotonic()
    mailbox.wait_for_all(0.05)
    assert time.monotonic() - started >= 0.05
    mailbox.put(Refusal('b', 1.0, 0.0, ''))
    started = time.monotonic()
    mailbox.wait_for_all(PATIENCE_S)
    assert time.monotonic() - started < PATIENCE_S / 2


def test_messages_that_are_missing_between_two_stamps_are_counted_as_lost():
    mailbox = Mailbox({'a': topic(period_s=0.01), 'b': topic()})
    for stamp_s in (1.0, 1.0101, 1.02, 1.05, 1.0599, 0.2, 0.21):
        mailbox.put(Reading('a', stamp_s, 0.0, ()))
        mailbox.put(Reading('b', stamp_s, 0.0, ()))
    # 1.03 and 1.04 never came; 0.2 is a clock that was set back.
    assert mailbox.lost == {'a': 2} and mailbox.received == {'a': 7, 'b': 7}
    mailbox.clear()
    mailbox.put(Refusal('a', 9.0, 0.0, 'no joint'))
    assert mailbox.lost == {'a': 2} and mailbox.received['a'] == 8
    mailbox = Mailbox({'a': topic(period_s=0.01)}, lockstep=True)
    for stamp_s in (1.0, 1.1):
        mailbox.put(Reading('a', stamp_s, 0.0, ()))
    assert not mailbox.lost, 'in lockstep it comes with every step'


@pytest.mark.parametrize('lockstep', [False, True])
def test_what_is_handed_over_says_what_was_refused_and_in_lockstep_comes_at_once(lockstep):
    taken: list[Reading] = []

    def on_reading(reading):
        taken.append(reading)
        return 'too old' if reading.stamp_s == 1.0 else None

    counters = SimpleNamespace(refused=Counter())
    controller = SimpleNamespace(on_reading=on_reading, counters=counters)
    mailbox = Mailbox({'a': topic(), 'b': topic()}, lockstep)
    for item in (
        Reading('a', 1.0, 5.0, ()), Reading('a', 2.0, 6.0, ()), Refusal('b', 2.0, 7.0, 'no joint'),
    ):  # fmt: skip
        mailbox.put(item)
    assert hand_over(mailbox, controller) == (2.0, 7.0, 'too old; no joint')
    assert [reading.received_s for reading in taken] == ([7.0, 7.0] if lockstep else [5.0, 6.0])
    # What the controller itself refuses, it counts itself.
    assert counters.refused == {'no joint': 1}
    before_s = time.monotonic()
    stamp_s, received_s, reasons = hand_over(mailbox, controller)
    assert (stamp_s, reasons) == (None, '') and before_s <= received_s <= time.monotonic()
