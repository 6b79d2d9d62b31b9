# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Errors by channel and horizon on recorded trajectories, against closed forms."""

import json

import pytest
import torch

from mbmrl_ros.adaptation.adapter import DynamicEvaluation, GradientAdapter, NoAdaptation
from mbmrl_ros.adaptation.gradient import uniform_step_sizes
from mbmrl_ros.adaptation.recurrent import RecurrentAdapter
from mbmrl_ros.bundles.dynamics import Bundle, BundleInfo
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.evaluation.predictions import HORIZONS, ChannelErrors, prediction_losses
from mbmrl_ros.models.dynamics import build_dynamics
from mbmrl_ros.models.kinds import build_model
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.planners.mppi import MPPIConfig
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Adapter, Transitions

SPEC = load_robot('millirobot')
PAST, FUTURE = 4, 12


def bundle(seed: int = 0, scale: float = 1.0, **statistics: torch.Tensor) -> Bundle:
    """Return a random model; with scale 0 one that predicts the mean change."""
    ones, zeros = torch.ones(SPEC.state_size), torch.zeros(SPEC.state_size)
    values = {'state_mean': zeros, 'state_std': ones, 'delta_mean': zeros, 'delta_std': ones}
    dynamics = build_dynamics(SPEC, (16,), Normalizer(**(values | statistics)))
    params = dynamics.init(torch.Generator().manual_seed(seed))
    params = {name: value if name == 'scale' else scale * value for name, value in params.items()}
    info = BundleInfo(
        algorithm='mb', task='t', robot=SPEC.name, robot_hash=SPEC.hash,
        interface=json.loads(json.dumps(SPEC.interface)), hidden_sizes=(16,), past_steps=PAST,
        future_steps=FUTURE, inner_steps=1, precision='float32', planner=MPPIConfig(),
        training={}, metrics={},
    )  # fmt: skip
    return Bundle(info, dynamics, params, uniform_step_sizes(params, 0.01))


def walk(steps: int, seed: int = 0, noise: float = 0.1) -> Trajectory:
    generator = torch.Generator().manual_seed(seed)
    states = noise * torch.randn(steps + 1, SPEC.state_size, generator=generator).cumsum(0)
    actions = torch.rand(steps, SPEC.action_size, generator=generator)
    return Trajectory(states, actions, torch.full((steps,), -1))


def drift(steps: int, slope: torch.Tensor) -> Trajectory:
    times = torch.arange(steps + 1.0)[:, None]
    return Trajectory(times * slope, torch.zeros(steps, 2), torch.full((steps,), -1))


def score(model: Bundle, adapter: Adapter, trajectories: list[Trajectory], stride: int = 1):
    """Return errors by channel at every `stride`-th moment."""
    losses = prediction_losses(model, adapter, trajectories, stride, horizons=HORIZONS)
    assert isinstance(losses.channels, ChannelErrors)
    return losses.channels


def plain(model: Bundle) -> NoAdaptation:
    return NoAdaptation(model.dynamics.loss, model.params)


def test_no_change_is_wrong_by_the_change_and_the_mean_change_is_right_for_a_drift():
    slope = torch.linspace(-1, 1, SPEC.state_size)
    deviation = torch.linspace(0.5, 2, SPEC.state_size)
    model = bundle(scale=0.0, delta_mean=slope, delta_std=deviation)
    scores = score(model, plain(model), [drift(30, slope)])
    # Moments 4 to 18: after the past, and with the future still ahead.
    assert len(scores.trajectory) == 30 - PAST - FUTURE + 1
    expected = (slope / deviation).square().expand(len(scores.trajectory), -1)
    torch.testing.assert_close(scores.losses['no_change'], expected)
    for k, horizon in enumerate(HORIZONS):
        ahead = (horizon * slope).square().expand(len(scores.trajectory), -1)
        torch.testing.assert_close(scores.squared['no_change'][:, k], ahead)
    for prediction in ('before', 'after'):
        assert scores.loss(prediction) < 1e-9
        assert scores.squared[prediction].max() < 1e-6


def test_losses_are_those_of_the_dynamics_on_the_next_steps():
    model, trajectory = bundle(), walk(25)
    scores = score(model, plain(model), [trajectory])
    for place, moment in enumerate(range(PAST, 25 - FUTURE + 1)):
        coming = type(trajectory.transitions())(
            *(tensor[moment : moment + FUTURE] for tensor in trajectory.transitions())
        )
        expected = model.dynamics.loss(model.params, coming)
        torch.testing.assert_close(scores.losses['before'][place].mean(), expected)


def test_predictions_ahead_follow_the_recorded_actions():
    model, trajectory = bundle(), walk(25)
    scores = score(model, plain(model), [trajectory])
    moment = PAST + 3
    state = trajectory.states[moment][None, None]
    for step in range(10):
        action = trajectory.actions[moment + step][None, None]
        _, state = model.dynamics.step(model.params, None, state, action)
        if step + 1 in HORIZONS:
            expected = (state[0, 0] - trajectory.states[moment + step + 1]).square()
            found = scores.squared['before'][3, HORIZONS.index(step + 1)]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('kind', ['grbal', 'dynamic_evaluation', 'rebal'])
def test_trajectories_of_any_length_side_by_side_score_as_one_by_one(kind):
    model = bundle() if kind != 'rebal' else recurrent_bundle()
    adapter: Adapter
    if kind == 'rebal':
        adapter = RecurrentAdapter(model.dynamics, model.params, 'episode', PAST)
    elif kind == 'grbal':
        adapter = GradientAdapter(model.dynamics.loss, model.params, model.step_sizes)
    else:
        adapter = DynamicEvaluation(model.dynamics.loss, model.params, model.step_sizes)
    trajectories = [walk(steps, seed) for seed, steps in enumerate((30, 17, 12, 21, 3))]
    together = score(model, adapter, trajectories)
    for index, trajectory in enumerate(trajectories):
        rows = together.trajectory == index
        if trajectory.steps < PAST + FUTURE:
            assert not rows.any()
            continue
        alone = score(model, adapter, [trajectory])
        for name in ('before', 'after', 'no_change'):
            torch.testing.assert_close(together.losses[name][rows], alone.losses[name])
            found = together.squared[name][rows]
            # A random model blows up over ten steps, and rounding with it.
            torch.testing.assert_close(found, alone.squared[name], rtol=1e-3, atol=1e-5)
    assert not torch.equal(together.losses['after'], together.losses['before'])


def recurrent_bundle() -> Bundle:
    plain = bundle()
    dynamics = build_model(SPEC, (16,), 'lstm', plain.dynamics.normalizer)
    params = dynamics.init(torch.Generator().manual_seed(0))
    return Bundle(plain.info, dynamics, params, {})


@pytest.mark.parametrize('span', ['window', 'episode'])
def test_what_is_remembered_counts_for_losses_and_for_predictions_ahead(span):
    model, trajectory = recurrent_bundle(), walk(25)
    dynamics, params = model.dynamics, model.params
    adapter = RecurrentAdapter(dynamics, params, span, PAST)
    scores = score(model, adapter, [trajectory])
    moment, whole = PAST + 3, trajectory.transitions()
    first = moment - PAST if span == 'window' else 0
    past, coming = (
        Transitions(*(tensor[None, begin:end] for tensor in whole))
        for begin, end in ((first, moment), (moment, moment + FUTURE))
    )
    carry, _ = dynamics.unroll(params, dynamics.empty(1), past)
    expected = dynamics.errors(params, coming, carry=carry).mean(1)[0]
    torch.testing.assert_close(scores.losses['after'][3], expected)
    alone = dynamics.errors(params, coming).mean(1)[0]
    torch.testing.assert_close(scores.losses['before'][3], alone)
    for name, remembered in (('before', None), ('after', carry)):
        state = trajectory.states[moment][None, None]
        for step in range(10):
            action = trajectory.actions[moment + step][None, None]
            remembered, state = dynamics.step(params, remembered, state, action)
            if step + 1 in HORIZONS:
                wrong = (state[0, 0] - trajectory.states[moment + step + 1]).square()
                found = scores.squared[name][3, HORIZONS.index(step + 1)]
                torch.testing.assert_close(found, wrong, rtol=1e-4, atol=1e-6)


def test_a_model_that_is_wrong_by_a_constant_is_better_once_it_has_adapted():
    slope = torch.full((SPEC.state_size,), 0.3)
    model = bundle(scale=0.0)
    steps = uniform_step_sizes(model.params, 2.0)
    adapter = GradientAdapter(model.dynamics.loss, model.params, steps)
    scores = score(model, adapter, [drift(30, slope)])
    assert scores.loss('before') == pytest.approx(0.09)
    # Only the last bias has a gradient: 2 * error / 24 channels; the step moves it 2 * 2 / 24 of
    # the way, so the error falls to 5/6 and its square to 25/36.
    assert scores.loss('after') == pytest.approx(0.09 * 25 / 36, rel=1e-3)


def test_a_stride_leaves_moments_out_but_adapts_at_all():
    model = bundle()
    adapter = DynamicEvaluation(model.dynamics.loss, model.params, model.step_sizes)
    every, third = (score(model, adapter, [walk(30)], stride) for stride in (1, 3))
    torch.testing.assert_close(third.losses['after'], every.losses['after'][::3])


def test_trajectories_that_are_all_too_short_have_no_errors():
    scores = score(bundle(), plain(bundle()), [walk(15)])
    assert len(scores.trajectory) == 0
    assert scores.losses['after'].shape == (0, SPEC.state_size)
    assert scores.squared['after'].shape == (0, len(HORIZONS), SPEC.state_size)
