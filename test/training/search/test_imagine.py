# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imagined rollouts: with the true physics as the model they are the real ones."""

from dataclasses import replace

import pytest
import torch

from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task_env import MetaTaskEnv
from mbmrl_ros.models.ensemble import Ensemble, EnsembleDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.policies.gaussian import GaussianPolicy
from mbmrl_ros.training.rollouts import collect
from mbmrl_ros.training.search.imagine import Imagination, ImaginedEnv, imagine, make_move

NAVIGATION = replace(load_meta_task('point/navigation'), horizon=20)
CHOICES = ('step', 'episode', 'task', 'mean', 'one')


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(members: int, drift: float = 0.0) -> Ensemble:
    """Return the point's physics as members without hidden layers; member e drifts by e drift."""
    dynamics = EnsembleDynamics(members, 2, 2, (0, 1), (), Normalizer.identity(2))
    moves = torch.cat([torch.zeros(2, 2), 0.1 * torch.eye(2)], 1)
    drifts = drift * torch.arange(members, dtype=torch.float32)[:, None].expand(-1, 2)
    params = {'weight0': moves.expand(members, 2, 4).clone(), 'bias0': drifts.clone()}
    return Ensemble(dynamics, params)


def at_origin(generator: torch.Generator, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    # The real start draws as many numbers, of which its width of 0 leaves nothing.
    torch.rand(rows, 2, generator=generator, dtype=torch.float64)
    return torch.zeros(rows, 2), torch.zeros(rows, dtype=torch.int64)


def make_envs(
    task=NAVIGATION, members='one', ensemble=None, starts=at_origin, differentiable=False
):
    real = MetaTaskEnv(task, 4, 3, threads=1)
    config = Imagination(4, 3, task.horizon, starts, members, differentiable)
    return real, ImaginedEnv(real, ensemble or points(2), config)


@pytest.mark.parametrize('differentiable', [False, True])
@pytest.mark.parametrize('ends', [False, True])
def test_with_the_true_physics_they_equal_real_ones(ends, differentiable):
    done = {'done': lambda state: state[..., 0] > 0.15} if ends else {}
    real, imagined = make_envs(replace(NAVIGATION, **done), differentiable=differentiable)
    policy = GaussianPolicy(2, 2, (8,), init_std=0.5)
    params, goals = policy.init(seeded()), real.sample_goals(seeded(1), 4)
    wanted = collect(real, policy, params, goals, seeded(2))
    paths = imagine(imagined, policy, params, goals, seeded(2))
    assert torch.equal(paths.alive, wanted.alive) and torch.equal(paths.ended, wanted.ended)
    assert bool(wanted.ended.any()) == ends
    for name in ('rewards', 'actions', 'observations'):
        mine, theirs = getattr(paths, name), getattr(wanted, name)
        alive = wanted.alive if mine.dim() == 3 else wanted.alive[..., None]
        torch.testing.assert_close(
            torch.where(alive, mine, 0.0).detach(), theirs, atol=1e-5, rtol=1e-5
        )


def reached(choice: str, steps: int = 1, members: int = 3) -> torch.Tensor:
    """Return by how much each of 6 tasks' 4 rows drifted in some steps [steps, 6, 4]."""
    config = Imagination(6, 4, 1, at_origin, choice)
    move = make_move(points(members, drift=1.0), config, seeded())
    still = torch.zeros(24, 2)
    return torch.stack([move(still, still)[:, 0].view(6, 4) for _ in range(steps)])


def test_tasks_never_mix_members():
    expected = torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0, 2.0])[:, None].expand(6, 4)
    assert torch.equal(reached('task', 5), expected.expand(5, 6, 4))


def test_members_are_dealt_by_step_and_by_episode_and_averaged():
    by_step, by_episode = reached('step', 300), reached('episode', 5)
    shares = torch.stack([(by_step == member).float().mean(0) for member in range(3)])
    # Of 300 draws a share of 1/3 has a standard deviation of 0.027.
    assert (shares - 1 / 3).abs().max() < 0.14
    assert torch.equal(by_episode, by_episode[:1].expand(5, 6, 4))
    assert by_episode.unique().tolist() == [0.0, 1.0, 2.0]
    assert torch.equal(reached('mean'), torch.ones(1, 6, 4))
    assert torch.equal(reached('one'), torch.zeros(1, 6, 4))


def test_rows_that_members_cannot_share_equally_are_all_moved():
    config = Imagination(1, 7, 1, at_origin, 'step')
    move = make_move(points(5, drift=1.0), config, seeded())
    states = torch.arange(14.0).view(7, 2)
    drift = move(states, torch.zeros(7, 2)) - states
    assert drift.isfinite().all() and (drift >= 0).all() and (drift <= 4).all()
    torch.testing.assert_close(drift, drift.round(), atol=1e-5, rtol=0)


def test_tasks_that_members_cannot_share_equally_are_refused():
    with pytest.raises(ValueError, match='multiple'):
        make_envs(members='task', ensemble=points(3))


@pytest.mark.parametrize('choice', CHOICES)
def test_returns_have_the_gradient_of_finite_differences(choice):
    policy = GaussianPolicy(2, 2, (), init_std=0.1)
    start = {name: value.double() for name, value in policy.init(seeded()).items()}
    task = replace(NAVIGATION, horizon=5)
    real, imagined = make_envs(task, choice, differentiable=True)
    goals = real.sample_goals(seeded(1), 4)

    def total(weight: torch.Tensor) -> torch.Tensor:
        params = {k: v.float() for k, v in (start | {'weight0': weight}).items()}
        return imagine(imagined, policy, params, goals, seeded(2)).rewards.sum()

    weight = start['weight0'].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(weight), weight)
    for place in ((0, 0), (1, 0)):
        nudge = torch.zeros_like(weight)
        nudge[place] = 1e-2
        slope = (total(start['weight0'] + nudge) - total(start['weight0'] - nudge)) / 2e-2
        assert float(gradient[place]) == pytest.approx(float(slope), rel=2e-2, abs=2e-3)


def test_a_start_within_an_episode_is_cut_where_the_real_episode_would_be():
    def late(generator, rows):
        return torch.zeros(rows, 2), torch.full((rows,), 15)

    real, imagined = make_envs(starts=late)
    policy = GaussianPolicy(2, 2, (8,))
    goals = real.sample_goals(seeded(1), 4)
    paths = imagine(imagined, policy, policy.init(seeded()), goals, seeded(2))
    assert paths.alive.sum(-1).unique().tolist() == [5]
    assert paths.ended.all() and not paths.rewards[..., 5:].any()


def test_a_prediction_that_is_not_finite_ends_its_path_alone():
    ensemble = points(4)
    ensemble.params['bias0'][2] = torch.nan
    real, imagined = make_envs(members='task', ensemble=ensemble)
    policy = GaussianPolicy(2, 2, (8,))
    goals = real.sample_goals(seeded(1), 4)
    paths = imagine(imagined, policy, policy.init(seeded()), goals, seeded(2))
    assert paths.alive.sum((1, 2)).tolist() == [60, 60, 0, 60] and paths.rewards.isfinite().all()
