# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A planner is named by its kind, and files that name none are MPPI's."""

import pytest

from mbmrl_ros.config import Config, UserError, parse
from mbmrl_ros.planners.cem import CEM, CEMConfig
from mbmrl_ros.planners.kinds import CONFIGS, PlannerConfig, changed, make_planner
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig, of_before
from mbmrl_ros.planners.random_shooting import RandomShooting, RandomShootingConfig


def before(**parameters: float) -> MPPIConfig:
    """Return MPPI as files without a kind mean it."""
    return MPPIConfig(**of_before(parameters))


class File(Config):
    planner: PlannerConfig = before(candidates=7, noise=0.7)


@pytest.mark.parametrize(
    ('written', 'read', 'planner'),
    [
        ({'candidates': 5, 'noise': 0.3}, before(candidates=5, noise=0.3), MPPI),
        ({'candidates': 5, 'horizon': 3}, before(candidates=5, horizon=3, noise=0.7), MPPI),
        ({'kind': 'mppi', 'noise': 0.2}, MPPIConfig(noise=0.2), MPPI),
        ({'kind': 'random_shooting'}, RandomShootingConfig(), RandomShooting),
        ({'kind': 'cem', 'elites': 9}, CEMConfig(elites=9), CEM),
    ],
)
def test_a_kind_is_read_made_and_comes_back_from_what_was_written(written, read, planner):
    file = parse(File, {'planner': written}, 'file')
    assert file.planner == read
    made = make_planner(file.planner, 3)
    assert isinstance(made, planner) and (made.config, made.action_size) == (read, 3)
    assert File.model_validate_json(file.model_dump_json()) == file


def test_files_of_mppi_are_what_they_were_before_there_were_kinds():
    assert File().model_dump()['planner'] == {
        'candidates': 7, 'horizon': 10, 'temperature': 0.1, 'noise': 0.7, 'smoothing': 0.7,
    }  # fmt: skip
    fields = ('noise_of', 'temperature', 'smoothing', 'knots')
    assert [getattr(File().planner, name) for name in fields] == ['filter', 0.1, 0.7, None]
    assert MPPIConfig(noise=0.2).model_dump().items() >= {'kind': 'mppi', 'noise': 0.2}.items()
    assert parse(File, {'planner': {}}, 'file') != parse(
        File, {'planner': {'kind': 'mppi'}}, 'file'
    )


def test_smoothing_is_for_noise_without_knots():
    # As in files from before there were any, which name all parameters.
    smooth = parse(File, {'planner': {'kind': 'mppi', 'smoothing': 0.4}}, 'file').planner
    assert (smooth.smoothing, smooth.knots) == (0.4, None)
    assert 'knots' not in smooth.model_dump() and 'smoothing' not in MPPIConfig().model_dump()
    assert changed(MPPIConfig(), '', {'smoothing': 0.4}).knots is None


def test_noise_that_is_changed_is_that_of_the_actions_and_all_else_stays():
    own = before(candidates=30, noise=0.3)
    assert changed(own, '', {'horizon': 4}) == before(candidates=30, noise=0.3, horizon=4)
    noisier = changed(own, '', {'noise': 0.4})
    assert noisier == MPPIConfig(candidates=30, noise=0.4, temperature=0.1, smoothing=0.7)


def test_the_default_of_random_shooting_is_the_papers_robot():
    config = RandomShootingConfig()
    assert (config.candidates, config.horizon) == (2000, 5)


@pytest.mark.parametrize(
    ('written', 'said'),
    [
        (
            {'kind': 'mpi'},
            "f: planner.kind: there is no 'mpi'; did you mean 'mppi'? valid: cem, m",
        ),
        ({'kind': 'cem', 'elite': 3}, "unknown key 'planner.elite'; did you mean 'elites'?"),
        ({'kind': 'cem', 'elites': 1}, 'f: planner.elites: Input should be greater than or'),
        ({'kind': 'random_shooting', 'noise': 1}, 'valid: candidates, horizon, kind'),
        (5, 'f: planner: needs a mapping of keys to values, got 5'),
    ],
)
def test_a_wrong_planner_is_refused_by_the_keys_of_its_own_kind(written, said):
    with pytest.raises(UserError) as caught:
        parse(File, {'planner': written}, 'f')
    assert said in str(caught.value) and '\n' not in str(caught.value)


def test_changes_keep_the_rest_of_the_same_kind_and_begin_another_at_its_defaults():
    own = MPPIConfig(candidates=30, noise=0.3)
    assert changed(own, '', {'horizon': 4}) == MPPIConfig(candidates=30, noise=0.3, horizon=4)
    assert changed(own, 'mppi', {}) == own
    assert changed(own, 'random_shooting', {}) == RandomShootingConfig()
    assert changed(own, 'cem', {'candidates': 40}) == CEMConfig(candidates=40)
    assert changed(CEMConfig(elites=3), 'cem', {'horizon': 2}) == CEMConfig(elites=3, horizon=2)


@pytest.mark.parametrize(
    ('kind', 'changes', 'said'),
    [
        ('shooting', {}, "unknown planner 'shooting'; did you mean 'random_shooting'?"),
        ('random_shooting', {'temperature': 1.0}, "planner random_shooting: unknown key 'temper"),
        ('', {'horizon': 0}, 'planner mppi: horizon: Input should be greater'),
    ],
)
def test_changes_that_cannot_be_are_refused_in_one_line(kind, changes, said):
    with pytest.raises(UserError) as caught:
        changed(MPPIConfig(), kind, changes)
    assert said in str(caught.value)


def test_every_kind_is_named_after_itself():
    assert {name: config().kind for name, config in CONFIGS.items()} == {n: n for n in CONFIGS}
