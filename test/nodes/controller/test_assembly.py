# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from small_actor import steady_actor

from mbmrl_ros.adaptation.adapter import DynamicEvaluation, GradientAdapter, NoAdaptation
from mbmrl_ros.bundles.dynamics import load_bundle, save_bundle, with_actor
from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.settings import ControllerSettings, PlannerSettings
from mbmrl_ros.nodes.controller import assembly
from mbmrl_ros.nodes.controller.assembly import build_brain, default_bundle, warm_up
from mbmrl_ros.planners.mppi import MPPI
from mbmrl_ros.robot.budget import CandidateBudget, with_candidates
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Transitions

SPEC = load_robot('half_cheetah')


def actions(brain, ticks: int = 3) -> torch.Tensor:
    """Return what a brain does in its next ticks without a window, from a state of zeros."""
    window = Transitions(torch.zeros(1, 8, 19), torch.zeros(1, 8, 6), torch.zeros(1, 8, 19))
    nothing = torch.zeros(1, dtype=torch.bool)
    return torch.cat(
        [brain.source.act(window, nothing, torch.zeros(1, 19)).action for _ in range(ticks)]
    )


@pytest.mark.parametrize(
    ('adaptation', 'kind'),
    [
        ('auto', GradientAdapter),
        ('grbal', GradientAdapter),
        ('none', NoAdaptation),
        ('dynamic_evaluation', DynamicEvaluation),
    ],
)
def test_the_adaptation_is_the_bundles_own_or_the_one_asked_for(bundle, adaptation, kind):
    settings = ControllerSettings(bundle=str(bundle), adaptation=adaptation, step_size=0.5)
    adapter = build_brain(SPEC, settings).source._model.adapter
    assert isinstance(adapter, kind)
    if kind is DynamicEvaluation:
        assert all((size == 0.5).all() for size in adapter.step_sizes.values())


def test_a_policy_and_its_critics_beside_a_model_are_what_plans_are_made_with(bundle, tmp_path):
    alone = load_bundle(bundle, SPEC)
    decided = {}
    for weight in (0.0, 1.0):
        both = with_actor(alone, steady_actor(SPEC, alone.info.task, weight))
        save_bundle(tmp_path / str(weight), both)
        settings = ControllerSettings(bundle=str(tmp_path / str(weight)))
        brain = build_brain(SPEC, settings)
        warm_up(SPEC, brain)
        problem = brain.source._model.problem(None, None)
        assert (problem.value is None) == (weight == 0) and problem.policy is not None
        decided[weight] = actions(brain)
    plain = actions(build_brain(SPEC, ControllerSettings(bundle=str(bundle))))
    assert not torch.equal(decided[0.0], plain), 'proposals matter'
    assert not torch.equal(decided[0.0], decided[1.0]), 'values matter'


def test_planner_settings_of_zero_are_the_bundles(bundle):
    settings = ControllerSettings(bundle=str(bundle), planner=PlannerSettings(horizon=7))
    config = build_brain(SPEC, settings).source._planner.config
    assert (config.candidates, config.horizon, config.noise) == (64, 7, 1.0)


@pytest.mark.parametrize(
    ('changes', 'candidates', 'horizon'),
    [
        ({'kind': 'random_shooting'}, 2000, 5),
        ({'kind': 'cem', 'candidates': 40, 'elites': 4}, 40, 15),
        ({'kind': 'mppi', 'horizon': 7}, 64, 7),
    ],
)
def test_another_kind_of_planner_begins_at_its_own_defaults(bundle, changes, candidates, horizon):
    settings = ControllerSettings(bundle=str(bundle), planner=PlannerSettings(**changes))
    brain = build_brain(SPEC, settings)
    config = brain.source.planner.config
    assert (config.kind, config.candidates, config.horizon) == (
        changes['kind'], candidates, horizon,
    )  # fmt: skip
    chosen = actions(brain)
    assert chosen.shape == (3, 6) and chosen.abs().max() <= 1


def test_a_setting_that_the_planner_has_not_is_refused_with_those_that_it_has(bundle):
    planner = PlannerSettings(kind='random_shooting', temperature=0.1)
    with pytest.raises(UserError, match="unknown key 'temperature'; valid: candidates, horizon"):
        build_brain(SPEC, ControllerSettings(bundle=str(bundle), planner=planner))


def test_warming_up_changes_nothing_that_comes_after(bundle):
    settings = ControllerSettings(bundle=str(bundle), seed=4, adaptation='dynamic_evaluation')
    cold, warm = build_brain(SPEC, settings), build_brain(SPEC, settings)
    warm_up(SPEC, warm)
    assert torch.equal(actions(cold), actions(warm))


def test_numbers_up_to_half_above_the_one_that_fits_are_tried_before_the_robot_moves(bundle):
    settings = ControllerSettings(bundle=str(bundle), seed=4)
    cold, brain = build_brain(SPEC, settings), build_brain(SPEC, settings)
    controller = Controller(SPEC, brain.source)
    budget = CandidateBudget(1e-9, 4, 40, 16)
    controller.use_planner(brain.source.planner, budget)
    used = []
    act = brain.source.act

    def counted(*arguments):
        used.append(brain.source.planner.config.candidates)
        return act(*arguments)

    brain.source.act = counted
    warm_up(SPEC, brain, controller)
    assert used[-len(budget.rehearsal) :] == budget.rehearsal
    assert set(budget.rehearsal) < set(budget.ladder)
    # And nothing of that stays.
    assert brain.source.planner.config.candidates == budget.candidates
    cold.source.use_planner(with_candidates(cold.source.planner, budget.candidates))
    assert torch.equal(actions(cold), actions(brain))


def test_warming_up_ends_where_no_number_of_candidates_fits(bundle, monkeypatch):
    monkeypatch.setattr(assembly, 'WARM_UP_S', 1e9)
    brain = build_brain(SPEC, ControllerSettings(bundle=str(bundle), seed=4))
    controller = Controller(SPEC, brain.source)
    monkeypatch.setattr(CandidateBudget, 'rehearsal', [])
    controller.use_planner(brain.source.planner, CandidateBudget(1e-9, 4, 40, 16))
    warm_up(SPEC, brain, controller)
    assert controller.candidates == 4 and not controller.pace(1.0)


def test_another_planner_keeps_the_warm_start_as_far_as_it_reaches(bundle):
    brain = build_brain(SPEC, ControllerSettings(bundle=str(bundle)))
    actions(brain)
    before = brain.source._planner_state.mean
    assert before.abs().max() > 0
    config = brain.bundle.info.planner
    brain.source.use_planner(MPPI(config.model_copy(update={'noise': 0.1}), 6))
    assert torch.equal(brain.source._planner_state.mean, before)
    brain.source.use_planner(MPPI(config.model_copy(update={'horizon': 9}), 6))
    assert brain.source._planner_state.mean.shape == (1, 9, 6)
    assert torch.equal(brain.source._planner_state.mean[:, :5], before)


def test_without_a_bundle_the_shipped_one_that_adapts_is_taken(make_bundle, tmp_path, monkeypatch):
    shipped = {name: make_bundle(tmp_path / name, algorithm=name) for name in ('a', 'mb', 'grbal')}
    monkeypatch.setattr(assembly, 'bundle_names', lambda: sorted(shipped))
    monkeypatch.setattr(assembly, 'find_bundle', shipped.get)
    assert default_bundle(SPEC) == 'grbal'
    with pytest.raises(UserError, match='no shipped bundle is for ant: set bundle'):
        default_bundle(SPEC.model_copy(update={'name': 'ant'}))
