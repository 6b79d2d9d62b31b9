# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest

from mbmrl_ros.bench import sim
from mbmrl_ros.bench.sim import SimSize, bench_sim
from mbmrl_ros.config import UserError

TINY = SimSize(environments=3, steps=20)


@pytest.fixture(scope='module')
def result():
    return bench_sim(TINY, threads=2, repetitions=1)


@pytest.mark.parametrize('robot', ['half_cheetah', 'ant'])
def test_a_batch_goes_through_gymnasiums_states(result, robot):
    found = result['robots'][robot]
    assert found['physics_steps'] == 5
    assert found['max_difference'] < 1e-8
    # From the solver's warm start, which gymnasium has and ours has not: last bits that grow.
    assert 0 < found['max_difference_warm_start'] < 1e-6


def test_the_keys_that_are_promised_are_there(result):
    assert (result['environments'], result['steps'], result['threads']) == (3, 20, 2)
    for found in result['robots'].values():
        for kind in ('', 'drawn_'):
            ours, other = (
                found[f'{kind}env_steps_per_s'],
                found[f'gymnasium_{kind}env_steps_per_s'],
            )
            assert found[f'{kind}speedup'] == pytest.approx(ours / other)
        assert found['single'].keys() > {'policies_ratio', 'faults_ratio'}
        world, vector = (found[f'{name}_env_steps_per_s'] for name in ('world', 'vector'))
        assert found['vector_ratio'] == pytest.approx(vector / world)


def test_rates_are_control_steps_of_all_rows_over_the_median(monkeypatch):
    names = ('ours', 'gymnasium', 'ours_drawn', 'gymnasium_drawn', 'world', 'limit', 'vector')
    times = dict(zip(names, (2.0, 4.0, 3.0, 8.0, 6.0, 1.5, 7.5)))
    monkeypatch.setattr(sim, 'alternate', lambda *arguments, **options: times)
    monkeypatch.setattr(sim, 'bench_single', lambda *arguments: {})
    found = bench_sim(TINY, 1, 1, ('half_cheetah',))['robots']['half_cheetah']
    # 3 rows x 20 steps in 2 ms; one environment's 20 steps in 4 ms.
    assert found['env_steps_per_s'] == pytest.approx(30_000)
    assert found['gymnasium_env_steps_per_s'] == pytest.approx(5_000)
    assert found['speedup'] == pytest.approx(6.0)
    assert found['drawn_speedup'] == pytest.approx(20_000 / 2_500)
    assert found['world_env_steps_per_s'] == pytest.approx(10_000)
    assert found['vector_env_steps_per_s'] == pytest.approx(8_000)
    assert found['vector_ratio'] == pytest.approx(0.8)
    assert found['limit_env_steps_per_s'] == pytest.approx(40_000)
    assert found['limit_speedup'] == pytest.approx(8.0)


def test_an_unknown_robot_is_refused():
    with pytest.raises(UserError, match="no robot 'hal_cheetah'; did you mean 'half_cheetah'"):
        bench_sim(TINY, 1, 1, ('hal_cheetah',))
