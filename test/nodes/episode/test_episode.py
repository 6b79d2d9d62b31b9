# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""When a recorded run is whole."""

from collections import Counter
from types import SimpleNamespace

import pytest
from rclpy.serialization import serialize_message

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.messages import sensor_writer
from mbmrl_ros.nodes.episode.episode import Episode, _all_came, _spin, lead_periods
from mbmrl_ros.spec.robot import load_robot

STEPS, UNTIL_NS = 5, 700_000_000
EPISODE = Episode(load_robot('millirobot'), STEPS, (), {}, {})


def recorder(late: str | None, stamp_ns: int) -> SimpleNamespace:
    """What a recorder holds: everything up to UNTIL_NS, of one topic up to a stamp only."""
    spec = EPISODE.spec
    signals = [0.0] * len(spec.signals)
    newest = {
        f'/demo/{topic}': serialize_message(
            sensor_writer(spec, topic, label=True)(
                signals, stamp_ns if topic == late else UNTIL_NS
            )
        )
        for topic in spec.topics
    }
    ticks = STEPS + lead_periods(spec)
    return SimpleNamespace(newest=newest, counts=Counter({EPISODE.stats: ticks}))


@pytest.mark.parametrize('topic', EPISODE.spec.topics)
def test_a_run_goes_on_until_every_sensor_of_its_last_step_came(topic):
    assert not _all_came(recorder(topic, UNTIL_NS - 100_000_000), EPISODE, UNTIL_NS)
    assert _all_came(recorder(topic, UNTIL_NS), EPISODE, UNTIL_NS)


def test_a_run_goes_on_until_every_tick_came():
    whole = recorder(None, UNTIL_NS)
    whole.counts[EPISODE.stats] -= 1
    assert not _all_came(whole, EPISODE, UNTIL_NS)


def test_a_topic_that_never_came_is_waited_for():
    lost = recorder(None, UNTIL_NS)
    del lost.newest['/demo/imu']
    assert not _all_came(lost, EPISODE, UNTIL_NS)


def test_a_run_that_can_no_longer_be_recorded_ends_at_once(tmp_path):
    broken = recorder(None, UNTIL_NS)
    broken.problem = 'cannot write on: No space left on device; free some space'
    spins = []
    executor = SimpleNamespace(spin_once=lambda timeout_sec: spins.append(timeout_sec))
    with pytest.raises(UserError, match=r'broke off: cannot write on.*No space left.*free'):
        _spin(executor, broken, EPISODE, [], spins.append, tmp_path)
    assert len(spins) == 1
