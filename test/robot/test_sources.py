# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which of several senders counts."""

from mbmrl_ros.robot.sources import REMEMBERED, OneSource

FIRST, SECOND = b'first', b'second'


def test_the_first_one_holds_a_topic_and_a_second_one_is_refused_and_counted():
    source = OneSource(0.1)
    taken = [source.take((FIRST, SECOND)[i % 2], 0.05 * i) for i in range(10)]
    assert taken == [True, False] * 5
    assert source.refused == 5 and source.others(0.5, 1.0) == {SECOND: 5}


def test_after_a_silence_of_the_time_out_whoever_comes_next_takes_over():
    source = OneSource(0.1)
    assert source.take(FIRST, 0.0)
    assert not source.take(SECOND, 0.1)
    assert source.take(SECOND, 0.11)
    # The one that was silent is now the second.
    assert not source.take(FIRST, 0.12) and source.others(0.12, 1.0) == {FIRST: 1}


def test_what_was_refused_long_ago_is_not_spoken_of():
    source = OneSource(0.1)
    source.take(FIRST, 0.0)
    source.take(SECOND, 0.05)
    source.take(FIRST, 0.1)
    assert source.others(1.0, 1.0) and not source.others(2.0, 1.0)


def test_senders_that_come_once_are_forgotten_and_the_holder_is_not():
    source = OneSource(0.1)
    for number in range(10 * REMEMBERED):
        assert source.take(FIRST, 0.01 * number)
        assert not source.take(number.to_bytes(4), 0.01 * number)
    assert len(source.others(0.01 * number, 1e9)) < REMEMBERED
    assert source.refused == 10 * REMEMBERED


ARM, HAND = ('a', 'b'), ('c',)


def test_two_may_share_a_topic_by_parts_and_who_sends_the_parts_of_another_is_refused():
    source = OneSource(0.1)
    for number in range(10):
        assert source.take(FIRST, 0.05 * number, ARM)
        assert source.take(SECOND, 0.05 * number, HAND)
    assert source.holders(0.45) == [FIRST, SECOND] and not source.others(0.45, 1.0)
    third = b'third'
    assert not source.take(third, 0.46, ARM + HAND) and not source.take(third, 0.47, HAND)
    assert source.others(0.5, 1.0) == {third: 2} and source.refused == 2
    # The part of one that is silent is free, that of the other is not.
    assert source.take(SECOND, 0.56, HAND)
    assert source.take(third, 0.57, ARM) and not source.take(third, 0.58, HAND)


def test_one_that_no_longer_sends_a_part_does_not_hold_it():
    source = OneSource(0.1)
    source.take(FIRST, 0.0, ARM + HAND)
    for number in range(5):
        assert source.take(FIRST, 0.05 * number, ARM)
    assert source.take(SECOND, 0.25, HAND)
