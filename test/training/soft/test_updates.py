# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The actor's gradient through models against closed forms, and the critics' targets by hand."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from mbmrl_ros.envs.goals import NO_GOALS
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.models.ensemble import Ensemble, EnsembleDynamics
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.rewards.reward import never_done
from mbmrl_ros.training.soft.actor_critic import ActorCritic, ActorCriticConfig, init_actor_critic
from mbmrl_ros.training.soft.paths import Imagined, branched
from mbmrl_ros.training.soft.stages import value_range
from mbmrl_ros.training.soft.updates import (
    actor_objective,
    actor_path,
    improve_actor,
    improve_critics,
    path_targets,
    plain_targets,
    weighted_targets,
)
from mbmrl_ros.types import Transitions

EFFORT, DISCOUNT = 0.3, 0.95
# So small that tanh is a straight line: its third-order term is 3e-7 of the first.
SMALL = 1e-3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def quadratic(state, action, next_state, goal):
    return -next_state.square().sum(-1) - EFFORT * action.square().sum(-1)


def linear(matrix, gain, members=1):
    """Return models s' = A s + B a, without any hidden layer."""
    size, actions = gain.shape
    normalizer = Normalizer(*(part.double() for part in vars(Normalizer.identity(size)).values()))
    dynamics = EnsembleDynamics(members, size, actions, tuple(range(size)), (), normalizer)
    weight = torch.cat([matrix - torch.eye(size), gain], 1).double()
    params = {
        'weight0': weight.expand(members, *weight.shape),
        'bias0': torch.zeros(members, size).double(),
    }
    task = MetaTask('lq', '', 100, NO_GOALS, quadratic, None, never_done)
    return Imagined(task, Ensemble(dynamics, params), torch.arange(size))


@dataclass(frozen=True)
class Feedback:
    """a = K s, as good as without noise."""

    action_size: int = 1

    def distribution(self, params, observations):
        mean = observations @ params['gain'].T
        return {'mean': mean, 'log_std': torch.full_like(mean, -30.0)}


@dataclass(frozen=True)
class Quadratic:
    """Q(s, a) = -s P s - q a^2."""

    matrix: torch.Tensor
    effort: float

    def smallest(self, params, observations, actions):
        squared = (observations @ self.matrix * observations).sum(-1)
        return -squared - self.effort * actions.square().sum(-1)


def regulator(gain, critic):
    trained = {
        'params/gain': gain.double().requires_grad_(),
        # No entropy.
        'log_temperature': torch.tensor(-torch.inf).double(),
    }
    config = ActorCriticConfig(discount=DISCOUNT)
    return ActorCritic(Feedback(), critic, config, trained, None, {})


def gradient(learner, imagined, states, steps):
    path = actor_path(learner, imagined, states, steps, seeded())
    objective = actor_objective(learner, imagined, path)
    return torch.autograd.grad(objective, learner.trained['params/gain'])[0].numpy()


@pytest.mark.parametrize('steps', [0, 1, 3, 10])
def test_the_gradient_of_the_actor_on_a_linear_quadratic_problem_is_the_analytic_one(steps):
    a, b, k, p, q = 0.9, 0.4, -0.5, 1.7, 0.6
    learner = regulator(torch.tensor([[k]]), Quadratic(torch.tensor([[p]]).double(), q))
    imagined = linear(torch.tensor([[a]]), torch.tensor([[b]]))
    state = torch.full((1, 1), SMALL).double()
    # s_t = c^t s_0 with c = a + b k; J is a polynomial in k, whose derivative is taken by hand.
    c, expected = a + b * k, 0.0
    for t in range(steps):
        squared = 2 * (t + 1) * b * c ** (2 * t + 1)
        effort = 2 * k * c ** (2 * t) + k**2 * 2 * t * b * c ** (2 * t - 1)
        expected -= DISCOUNT**t * (squared + EFFORT * effort)
    last = 2 * q * k * c ** (2 * steps) + (p + q * k**2) * 2 * steps * b * c ** (2 * steps - 1)
    expected -= DISCOUNT**steps * last
    found = float(gradient(learner, imagined, state, steps)[0, 0]) / SMALL**2
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_error_of_the_gradient_falls_and_rises_again_with_the_horizon():
    """The double integrator (thesis, figure 20), with a model and a critic that are wrong.

    A critic that is taken as it is does not know that a policy also changes what comes after: the
    exact gradient is that of a long path in the true dynamics.
    """
    step = 0.1
    matrix, push = torch.tensor([[1.0, step], [0.0, 1.0]]), torch.tensor([[0.0], [step]])
    gain = torch.tensor([[-0.5, -0.5]])
    states = SMALL * torch.randn(64, 2, generator=seeded()).double()
    # The value of the feedback itself: a sum over 400 steps, after which 1e-9 would be left.
    closed, weight = (matrix + push @ gain).double(), torch.zeros(2, 2).double()
    cost = EFFORT * (gain.T @ gain).double() + closed.T @ closed
    power = torch.eye(2).double()
    for t in range(400):
        weight += DISCOUNT**t * power.T @ cost @ power
        power = power @ closed
    true, wrong = Quadratic(weight, 0.0), Quadratic(1.5 * weight, 0.0)
    exact = gradient(regulator(gain, true), linear(matrix, push), states, 400)
    model = linear(matrix + torch.tensor([[0.0, 0.0], [0.02, 0.002]]), push)
    errors = {
        steps: np.linalg.norm(gradient(regulator(gain, wrong), model, states, steps) - exact)
        / np.linalg.norm(exact)
        for steps in (1, 2, 4, 8, 16, 32, 64, 128)
    }
    best = min(errors, key=errors.get)
    assert best in (4, 8), errors
    assert errors[1] > errors[2] > 2 * errors[best], errors
    assert all(errors[steps] > 3 * errors[best] for steps in (16, 32, 64, 128)), errors


def small_learner(members=2):
    """Return a learner and models of a plane, untrained, that reach and leave a region."""
    config = ActorCriticConfig(hidden_sizes=(8,), learning_rate=1e-2)
    learner = init_actor_critic(2, 1, config, seed=0)
    dynamics = EnsembleDynamics(members, 2, 1, (0, 1), (8,), Normalizer.identity(2))
    task = MetaTask('it', '', 100, NO_GOALS, quadratic, None, lambda s: s[..., 0] > 0.5)
    models = Ensemble(dynamics, dynamics.init(seeded(1)))
    return learner, Imagined(task, models, torch.tensor([0, 1]))


def test_a_path_of_one_step_has_the_targets_of_its_transitions():
    learner, imagined = small_learner()
    states = torch.randn(6, 2, generator=seeded(2))
    path = actor_path(learner, imagined, states, 1, seeded(3))
    of_path = path_targets(learner, imagined, path, 1)
    parts = path.states[0], path.actions[0].detach(), path.states[1].detach()
    # The last action is drawn from the stream after the first one of every row.
    stream = seeded(3)
    torch.randn(6, 1, generator=stream)
    of_transitions = plain_targets(learner, imagined, Transitions(*parts), stream)
    for ours, theirs in zip(of_path, of_transitions):
        torch.testing.assert_close(ours, theirs)
    done = imagined.task.done(parts[2])
    rewards = quadratic(*parts, None)
    torch.testing.assert_close(of_path.values[done], rewards[done])


def test_what_comes_after_an_end_is_neither_a_target_nor_model_data():
    learner, imagined = small_learner()
    states = torch.tensor([[0.45, 0.0]]).repeat(6, 1)
    path = actor_path(learner, imagined, states, 8, seeded())
    first = torch.where(path.done.any(0), path.done.int().argmax(0) + 1, 8)
    assert path.done.any() and not path.done.all()
    targets = path_targets(learner, imagined, path, 8)
    assert len(targets.values) == int(first.sum())
    collected = branched(imagined, learner.policy, learner.params, states, 8, seeded())
    assert len(collected.states) == int(first.sum())
    assert not imagined.task.done(collected.states).any()


def test_targets_of_equal_models_that_do_not_look_ahead_are_the_mean_of_the_critics():
    learner, imagined = small_learner()
    states, actions = torch.randn(4, 2, generator=seeded(2)), torch.zeros(4, 1)
    after = states - 1.0
    targets = weighted_targets(learner, imagined, Transitions(states, actions, after), 0, seeded())
    drawn = actor_path(learner, imagined, after.repeat(2, 1), 0, seeded())
    entropy = -learner.temperature * drawn.log_probs[0]
    values = learner.critic.values(learner.slow_critics, drawn.states[0], drawn.actions[0])
    following = ((values + entropy).view(2, 2, 4)).mean((0, 1))
    done = imagined.task.done(after)
    expected = quadratic(states, actions, after, None) + 0.99 * torch.where(done, 0.0, following)
    torch.testing.assert_close(targets.values, expected.detach())


def test_each_row_of_the_weighted_targets_is_its_own_in_every_member():
    learner, imagined = small_learner(members=3)
    states, actions = torch.randn(5, 2, generator=seeded(2)), torch.zeros(5, 1)
    transitions = Transitions(states, actions, states)
    values = weighted_targets(learner, imagined, transitions, 2, seeded()).values
    moved = Transitions(*(torch.cat([part[:4], part[4:] + 0.3]) for part in transitions))
    others = weighted_targets(learner, imagined, moved, 2, seeded()).values
    assert torch.equal(values[:4], others[:4]) and values[4] != others[4]


def test_critics_learn_an_endless_reward_and_an_actor_changes_nothing_else():
    learner, imagined = small_learner()
    before = {name: value.detach().clone() for name, value in learner.trained.items()}
    slow = {name: value.clone() for name, value in learner.slow.items()}
    path = actor_path(learner, imagined, torch.randn(6, 2, generator=seeded()), 2, seeded())
    improve_actor(learner, imagined, path)
    changed = {k for k, v in learner.trained.items() if not torch.equal(v, before[k])}
    learned = ('weight0', 'weight1', 'bias0', 'bias1')
    assert changed == {*(f'params/{name}' for name in learned), 'log_temperature'}
    assert all(torch.equal(v, slow[k]) for k, v in learner.slow.items())
    targets = path_targets(learner, imagined, path, 2)
    losses = [improve_critics(learner, targets) for _ in range(200)]
    assert losses[-1] < 0.5 * losses[0]
    # The slow ones follow: after 200 steps of 0.005 they are 63 % of the way or less.
    name = 'weight0'
    way = learner.trained[f'critic/{name}'].detach() - before[f'critic/{name}']
    gone = learner.slow[f'target/{name}'] - slow[f'target/{name}']
    assert 0 < float((gone * way).sum() / way.square().sum()) < 0.64


def test_no_value_is_believed_beyond_the_rewards_that_were_seen():
    learner, imagined = small_learner()
    low, high = value_range(learner, torch.tensor([-2.0, 3.0]))
    # 100 steps of it at a discount of 0.99, and of the entropy of one uniform action.
    assert low == pytest.approx(-200)
    assert high == pytest.approx(100 * (3 + 0.1 * np.log(2)), rel=1e-5)
    for name in ('weight1', 'bias1'):
        learner.slow[f'target/{name}'] *= 1e6
    bounded = replace(imagined, value_range=(-1.0, 1.0))
    states, actions = torch.randn(6, 2, generator=seeded()) - 3.0, torch.zeros(6, 1)
    transitions = Transitions(states, actions, states)
    path = actor_path(learner, imagined, states, 2, seeded())
    for each, limited in (
        (path_targets(learner, imagined, path, 2), path_targets(learner, bounded, path, 2)),
        (plain_targets(learner, imagined, transitions, seeded()),
         plain_targets(learner, bounded, transitions, seeded())),
        (weighted_targets(learner, imagined, transitions, 1, seeded()),
         weighted_targets(learner, bounded, transitions, 1, seeded())),
    ):  # fmt: skip
        # What is left are two rewards in this region.
        assert each.values.abs().max() > 1e4 and limited.values.abs().max() < 300
