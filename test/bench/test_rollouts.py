# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from mbmrl_ros.bench import rollouts
from mbmrl_ros.bench.rollouts import RolloutsSize, bench_rollouts
from mbmrl_ros.config import UserError

TASK = 'swimmer/velocity'
TINY = RolloutsSize(tasks=2, rollouts=1, width=4)


def test_rates_are_control_steps_of_all_robots_and_ratios_are_of_the_medians(monkeypatch):
    times = {'collect': 5.0, 'physics': 4.0, 'inside': 3.0}
    monkeypatch.setattr(rollouts, 'alternate', lambda *arguments, **options: times)
    found = bench_rollouts(TINY, 1, 1, TASK)
    # 2 robots x 200 steps in 5 ms, in 4 ms; 2 ms are not the 3 ms of physics.
    assert found['env_steps_per_s'] == pytest.approx(80_000)
    assert found['physics_env_steps_per_s'] == pytest.approx(100_000)
    assert found['physics_ratio'] == pytest.approx(1.25)
    assert found['rest_ms'] == pytest.approx(2.0)
    assert found['rest_ratio'] == pytest.approx(2 / 3)


def test_what_is_timed_runs_and_says_what_its_numbers_depend_on():
    found = bench_rollouts(TINY, 1, 1, TASK)
    assert (found['tasks'], found['rollouts'], found['horizon']) == (2, 1, 200)
    assert found['physics_env_steps_per_s'] > 0 and found['rest_ratio'] > 0
    assert {'threads', 'load_average', 'torch'} <= found.keys()


def test_points_have_no_physics_to_compare_with():
    with pytest.raises(UserError, match='point/corner has no physics'):
        bench_rollouts(TINY, 1, 1, 'point/corner')
