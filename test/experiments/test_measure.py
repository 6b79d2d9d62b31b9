# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Planners of another kind get as many evaluations per tick."""

import pytest

from mbmrl_ros.experiments.cells import expand
from mbmrl_ros.experiments.jobs import Measurement, Selection
from mbmrl_ros.experiments.measure import planner_of
from mbmrl_ros.experiments.studies import FIGURES
from mbmrl_ros.planners.cem import CEMConfig
from mbmrl_ros.planners.mppi import MPPIConfig

SWEPT = FIGURES['planners'].variants[-1].planner
TRAINED = MPPIConfig(candidates=500, horizon=20, temperature=0.2, noise=0.7, noise_of='filter')


def planners(name, method='mb_first', **chosen):
    jobs = expand([name], Selection(methods=(method,), seeds=(0,), **chosen))
    works = [job.work for job in jobs if isinstance(job.work, Measurement)]
    return {work.variant.name: planner_of(work, TRAINED) for work in works}


@pytest.mark.parametrize(('candidates', 'each'), [(None, 500), (128, 128)])
def test_kinds_are_compared_at_equal_evaluations_per_tick(candidates, each):
    found = planners('planners', candidates=candidates)
    assert set(found) == {'mppi', 'random_shooting', 'cem', 'mppi as swept'}
    for planner in found.values():
        rounds = planner.iterations if isinstance(planner, CEMConfig) else 1
        assert planner.candidates * planner.horizon * rounds == each * 20
    assert found['mppi'] == TRAINED.model_copy(update={'candidates': each})
    assert found['mppi as swept'] == found['mppi'].model_copy(update=SWEPT)
    # One of the points that were swept.
    assert any(variant.planner == SWEPT for variant in FIGURES['planner-sweep'].variants)
    assert found['cem'].elites == each // 4 // 10


def test_plans_of_any_length_have_as_many_evaluations():
    found = planners('horizon', 'mb', candidates=128).values()
    assert sorted(planner.horizon for planner in found) == [10, 20, 40, 80]
    assert {planner.candidates * planner.horizon for planner in found} == {2560}
    assert {planner.temperature for planner in found} == {SWEPT['temperature']}


def test_a_planner_that_is_a_methods_own_is_not_asked_for_otherwise():
    near, far = (planners('far', method, candidates=128)[''] for method in ('mb', 'mb_far'))
    assert near == TRAINED.model_copy(update={'candidates': 128})
    assert (far.candidates, far.horizon) == (64, 40)
    assert far.candidates * far.horizon == near.candidates * near.horizon
    assert {key: getattr(far, key) for key in SWEPT} == SWEPT


def test_the_sweep_changes_what_it_names_and_nothing_else():
    for planner in planners('planner-sweep').values():
        assert (planner.candidates, planner.horizon) == (500, 20)
    assert len({str(planner) for planner in planners('planner-sweep').values()}) == 27
