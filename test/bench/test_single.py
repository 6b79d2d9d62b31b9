# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from mbmrl_ros.bench import single
from mbmrl_ros.bench.single import TASKS, bench_single, equal_pairs


@pytest.mark.parametrize('robot', TASKS)
def test_what_is_compared_has_equal_physics(robot):
    for ours, theirs in equal_pairs(robot).values():
        env, inner = ours.unwrapped, theirs.unwrapped
        spec = env.robot if hasattr(env, 'robot') else env._system.spec
        assert spec.simulation.physics_steps == inner.frame_skip
        assert spec.period_s == pytest.approx(inner.dt)
        assert ours.action_space.shape == theirs.action_space.shape
        ours.close()
        theirs.close()


def test_rates_and_ratios_follow_from_the_medians(monkeypatch):
    times = {'policies': 4.0, 'faults': 5.0, 'faults_shipped': 8.0}
    times |= {f'{kind}_gymnasium': 2.0 for kind in times}
    monkeypatch.setattr(single, 'alternate', lambda *arguments, **options: times)
    found = bench_single('half_cheetah', 100, 1)
    # 100 steps in 4 ms, beside 100 in 2 ms.
    assert found['policies_steps_per_s'] == pytest.approx(25_000)
    assert found['policies_ratio'] == pytest.approx(0.5)
    assert found['faults_ratio'] == pytest.approx(0.4)
    assert found['faults_shipped_ratio'] == pytest.approx(0.25)
    assert found['faults_shipped_physics_steps'] == 1
