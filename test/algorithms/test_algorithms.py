# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the algorithms learn, on robots whose motor may be wired either way round."""

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch

from mbmrl_ros.adaptation.adapter import DynamicEvaluation, GradientAdapter, NoAdaptation
from mbmrl_ros.algorithms import ALGORITHMS, LEARNERS
from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import Bundle, BundleInfo
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory, all_transitions
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.models.dynamics import MLPDynamics, build_dynamics
from mbmrl_ros.models.fit import FitSchedule, fit
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.fit_model import FitData, Objective
from mbmrl_ros.training.dynamics.meta_loss import losses_before_and_after
from mbmrl_ros.training.dynamics.train_state import TrainState

PAST, FUTURE = 8, 5
SHARED = {
    'past_steps': PAST, 'future_steps': FUTURE, 'rollout_steps': 40, 'rollouts': 40,
    'batch_size': 16, 'validation_fraction': 0.25,
}  # fmt: skip


def robots(count: int, seed: int) -> list[Trajectory]:
    """Record robots of which every other one drives backwards: v' = 0.9 v + g a, x' = x + v."""
    generator = torch.Generator().manual_seed(seed)
    trajectories = []
    for index in range(count):
        gain = 0.5 if index % 2 else -0.5
        actions = torch.rand(40, 1, generator=generator) * 2 - 1
        states = [torch.randn(2, generator=generator)]
        for action in actions:
            x, v = states[-1]
            states.append(torch.stack([x + 0.1 * v, 0.9 * v + gain * action[0]]))
        trajectories.append(Trajectory(torch.stack(states), actions, torch.full((40,), -1)))
    return trajectories


def make_learned(dynamics: MLPDynamics, step_size: float) -> TrainState:
    params = dynamics.init(torch.Generator().manual_seed(0))
    log_sizes = {name: torch.tensor(math.log(step_size)) for name in params}
    for value in (*params.values(), *log_sizes.values()):
        value.requires_grad_()
    return TrainState(params, log_sizes, torch.optim.Adam(params.values()))


class Lesson(NamedTuple):
    """A model, what was learned for it, and what it was learned by."""

    dynamics: MLPDynamics
    learned: TrainState
    objective: Objective


def lesson(algorithm: str, step_size: float, **changes: float) -> Lesson:
    """Return what is there before training on 30 robots, with 10 held out."""
    # In groups of 8, of which the last two, one of each kind, are held out.
    data = robots(40, seed=0)
    training = [t for i, t in enumerate(data) if i % 8 < 6]
    held_out = [t for i, t in enumerate(data) if i % 8 >= 6]
    dynamics = MLPDynamics(2, 1, (1,), (32, 32), Normalizer.fit(all_transitions(training)))
    learned = make_learned(dynamics, step_size)
    generator = torch.Generator().manual_seed(0)
    config = ALGORITHMS[algorithm].Config(**SHARED, **changes)
    data = FitData(training, held_out, generator)
    return Lesson(
        dynamics, learned, LEARNERS[algorithm].objective(dynamics, learned, data, config)
    )


def learn(algorithm: str, step_size: float, learn_sizes: bool) -> Lesson:
    """Train for 300 updates."""
    result = lesson(algorithm, step_size)
    params, log_sizes, _ = result.learned
    groups = [
        {'params': list(params.values()), 'lr': 5e-3},
        {'params': list(log_sizes.values()), 'lr': 0.01 if learn_sizes else 0.0},
    ]
    everything = params | {f'log_{name}': value for name, value in log_sizes.items()}
    _, _, objective = result
    fit(
        everything, torch.optim.Adam(groups), objective,
        FitSchedule(epochs=15, batches_per_epoch=20, persistency=0.9, patience=5),
    )  # fmt: skip
    return result


def losses_on_new_robots(result: Lesson) -> tuple[float, float]:
    """Return the mean losses before and after adaptation, on robots that were never seen."""
    windows = Windows.of(robots(20, seed=1), PAST, FUTURE)
    dynamics, learned, _ = result
    before, after = losses_before_and_after(
        dynamics.loss, learned.params, learned.step_sizes, *windows.at(windows.start_indices)
    )
    return before.mean().item(), after.mean().item()


@pytest.fixture(scope='module')
def grbal() -> Lesson:
    return learn('grbal', step_size=0.1, learn_sizes=True)


def test_grbal_learns_to_tell_the_robots_apart_from_their_last_steps(grbal):
    before, after = losses_on_new_robots(grbal)
    assert after < 0.5 * before
    # Without knowing the wiring the best guess is that the motor does nothing, v' = 0.9 v. That
    # leaves g^2 E[a^2] = 0.083 of the variance of v' - v, which is 0.083 (1 + 0.1^2 / 0.19) =
    # 0.088: 0.95, and 0.47 meaned with x, which is no riddle.
    assert after < 0.5 * 0.47


def test_without_a_step_there_is_nothing_to_gain(grbal):
    result = learn('grbal', step_size=1e-9, learn_sizes=False)
    before, after = losses_on_new_robots(result)
    assert after == pytest.approx(before, rel=1e-3)
    assert losses_on_new_robots(grbal)[1] < 0.5 * after


def test_mb_predicts_the_mean_robot_and_a_gradient_step_does_not_help_it_much(grbal):
    result = learn('mb', step_size=0.1, learn_sizes=False)
    before, after = losses_on_new_robots(result)
    # 0.47 for the best guess; see above.
    assert before == pytest.approx(0.47, rel=0.15)
    assert after > 0.8 * before
    assert losses_on_new_robots(grbal)[1] < 0.5 * before
    assert before < losses_on_new_robots(grbal)[0], 'it is the better model for no adaptation'


def test_step_sizes_are_learned_one_per_tensor_and_stay_positive(grbal):
    sizes = grbal.learned.step_sizes
    assert set(sizes) == set(grbal.learned.params)
    assert all(value > 0 for value in sizes.values())
    assert len({round(value.item(), 6) for value in sizes.values()}) == len(sizes)


def test_grbal_is_stopped_by_the_loss_after_adaptation_of_robots_held_out(grbal):
    untrained = lesson('grbal', step_size=0.1)
    trained = grbal.objective.validation_loss()
    assert trained < 0.2 * untrained.objective.validation_loss()
    # The same weights score worse once their step sizes are gone.
    with torch.no_grad():
        kept = [value.clone() for value in grbal.learned.log_step_sizes.values()]
        for value in grbal.learned.log_step_sizes.values():
            value.fill_(-30.0)
        assert grbal.objective.validation_loss() > 2 * trained
        for value, old in zip(grbal.learned.log_step_sizes.values(), kept):
            value.copy_(old)
    assert grbal.objective.validation_loss() == trained


def test_both_are_stopped_on_the_same_windows():
    ours, theirs = lesson('grbal', step_size=1e-12), lesson('mb', step_size=1e-12)
    assert ours.objective.validation_loss() == pytest.approx(
        theirs.objective.validation_loss(), rel=1e-5
    )


def test_the_loss_without_adaptation_is_that_of_steps_of_no_size():
    grbal, still = lesson('grbal', 0.1).objective, lesson('grbal', 1e-12).objective
    assert grbal.unadapted_loss() == pytest.approx(still.validation_loss(), rel=1e-5)
    assert grbal.unadapted_loss() != pytest.approx(grbal.validation_loss(), rel=1e-3)
    assert lesson('mb', 0.1).objective.unadapted_loss is None


def test_an_epoch_looks_at_as_many_transitions_as_there_are():
    # 30 robots of 40 steps; a batch is 16 windows of 8 + 5, or 16 transitions.
    assert lesson('grbal', 0.1).objective.batches_per_epoch == 1200 // (16 * 13)
    assert lesson('mb', 0.1).objective.batches_per_epoch == 1200 // 16


def test_a_share_of_the_loss_is_that_without_adaptation():
    # The same generator draws the same windows; without a step there is no adaptation.
    changes = ((0.1, 0.0), (1e-12, 0.0), (0.1, 0.3))
    after, before, mixed = (
        lesson('grbal', size, unadapted_loss_weight=share).objective.batch_loss().item()
        for size, share in changes
    )
    assert mixed == pytest.approx(0.7 * after + 0.3 * before, rel=1e-5)
    assert mixed != pytest.approx(after, rel=1e-3)


@pytest.mark.parametrize('virtual', ['actuator_gain_range', 'actuator_bias_range'])
def test_other_actuators_are_for_training_only(virtual):
    plain, varied = lesson('grbal', 0.1), lesson('grbal', 0.1, **{virtual: 1.0})
    validation = [each.objective.validation_loss() for each in (plain, varied)]
    assert validation[0] == validation[1]
    losses = [each.objective.batch_loss().item() for each in (plain, varied)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize('algorithm', ['grbal', 'mb'])
def test_batches_reach_everything_that_the_algorithm_learns(algorithm):
    _, learned, objective = lesson(algorithm, 0.1)
    objective.batch_loss().backward()
    assert all(value.grad is not None and value.grad.any() for value in learned.params.values())
    reached = [value.grad is not None for value in learned.log_step_sizes.values()]
    assert all(reached) if algorithm == 'grbal' else not any(reached)


def make_bundle(algorithm: str) -> Bundle:
    spec = load_robot('half_cheetah')
    dynamics = build_dynamics(spec, (8,))
    params = dynamics.init(torch.Generator().manual_seed(0))
    info = BundleInfo(
        algorithm=algorithm, task='half_cheetah/disabled_joint', robot=spec.name,
        robot_hash=spec.hash, interface={}, hidden_sizes=(8,), past_steps=4, future_steps=4,
        inner_steps=3, precision='float32', planner=MPPIConfig(), training={}, metrics={},
    )  # fmt: skip
    return Bundle(info, dynamics, params, {name: torch.tensor(0.02) for name in params})


def test_a_bundle_adapts_as_it_was_trained_to():
    bundle = make_bundle('grbal')
    adapter = make_adapter(bundle, 'auto')
    assert isinstance(adapter, GradientAdapter)
    assert (adapter.params, adapter.step_sizes) == (bundle.params, bundle.step_sizes)
    assert adapter.steps == 3
    assert isinstance(make_adapter(make_bundle('mb'), 'auto'), NoAdaptation)


def judged(**fields: float) -> Bundle:
    bundle = make_bundle('grbal')
    return replace(bundle, info=bundle.info.model_copy(update=fields))


def test_a_bundle_says_what_its_adaptation_is_judged_by():
    told = judged(accept_improvement=0.1, keep_improvement=0.05)
    adapter = make_adapter(told, 'auto')
    assert isinstance(adapter, GradientAdapter)
    assert (adapter.accept_improvement, adapter.keep_improvement) == (0.1, 0.05)
    plain = make_adapter(judged(), 'auto')
    assert isinstance(plain, GradientAdapter)
    assert (plain.accept_improvement, plain.keep_improvement) == (0.0, None)


@pytest.mark.parametrize('algorithm', ['grbal', 'mb'])
def test_a_bundle_adapts_as_it_is_told_to(algorithm):
    bundle = make_bundle(algorithm)
    assert isinstance(make_adapter(bundle, 'none'), NoAdaptation)
    assert isinstance(make_adapter(bundle, 'grbal'), GradientAdapter)
    adapter = make_adapter(bundle, 'dynamic_evaluation', 0.25)
    assert isinstance(adapter, DynamicEvaluation)
    assert {float(size) for size in adapter.step_sizes.values()} == {0.25}
    still = make_adapter(bundle, 'dynamic_evaluation', 0.0)
    assert {float(size) for size in still.step_sizes.values()} == {0.0}
    default = make_adapter(bundle, 'dynamic_evaluation')
    assert all(size > 0 for size in default.step_sizes.values())


@pytest.mark.parametrize('step_size', [-0.1, math.nan, math.inf])
def test_a_step_size_out_of_range_is_refused(step_size):
    with pytest.raises(UserError, match=r'step size.*at least 0'):
        make_adapter(make_bundle('mb'), 'dynamic_evaluation', step_size)


def test_unknown_adaptations_and_algorithms_are_refused_with_the_closest():
    with pytest.raises(UserError, match="unknown adaptation 'grabl'; did you mean 'grbal'"):
        make_adapter(make_bundle('mb'), 'grabl')
    with pytest.raises(UserError, match=r"of algorithm 'maml'; .*valid: grbal, mb, rebal"):
        make_adapter(make_bundle('maml'), 'auto')


def test_algorithms_go_by_their_names():
    assert all(name == algorithm.name for name, algorithm in ALGORITHMS.items())
    assert {'grbal', 'mb', 'rebal', 'promp', 'maml_trpo', 'rl2'} <= set(ALGORITHMS)
    assert set(LEARNERS) == {'grbal', 'mb', 'rebal'}
