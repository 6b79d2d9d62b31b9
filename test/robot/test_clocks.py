# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stamps of other clocks are said, by how much."""

import pytest

from mbmrl_ros.robot.clocks import ClockOffsets

NOW_S = 1.8e9


@pytest.mark.parametrize(
    ('stamp_s', 'said'),
    [
        (NOW_S - 3600, 'odom: stamps are 3.6e+03 s behind'),
        (NOW_S + 3600, 'odom: stamps are 3.6e+03 s ahead of'),
        (12.5, 'odom: stamps are 1.8e+09 s behind'),
    ],
)
def test_a_single_topic_of_another_clock_is_noticed(stamp_s, said):
    offsets = ClockOffsets()
    offsets.add('odom', stamp_s, NOW_S)
    assert len(offsets.notices()) == 1 and offsets.notices()[0].startswith(said)
    offsets.add('odom', NOW_S, NOW_S + 0.2)
    assert offsets.notices() == []


def test_topics_of_the_same_clock_are_named_together():
    offsets = ClockOffsets()
    offsets.add('odom', NOW_S - 3600, NOW_S)
    offsets.add('imu', NOW_S - 3600.2, NOW_S)
    assert [notice.split(':')[0] for notice in offsets.notices()] == ['imu, odom']
