# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The gradient of MAAC's actor on a double integrator, beside the analytic one (thesis, Fig. 20).

A mass that is pushed: s = (place, speed), s' = A s + B a, r = -|s'|^2 - 0.3 a^2, under a = K s.
The actor's objective goes T steps through a model and ends in a critic, which is taken as a
constant: it does not know that a policy also changes what comes after. So few steps leave out a
part of the gradient, and many add up what the model is off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.envs.goals import NO_GOALS
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.models.ensemble import Ensemble, EnsembleDynamics
from mbmrl_ros.models.fit_ensemble import (
    EnsembleData,
    EnsembleSchedule,
    EnsembleState,
    fit_ensemble,
)
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.training.soft.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    init_actor_critic,
    scale_inputs,
)
from mbmrl_ros.training.soft.paths import Imagined
from mbmrl_ros.training.soft.updates import (
    actor_objective,
    actor_path,
    improve_critics,
    plain_targets,
)
from mbmrl_ros.types import Params, Transitions

STEP, EFFORT, DISCOUNT = 0.1, 0.3, 0.95
PUSHED = torch.tensor([[1.0, STEP], [0.0, 1.0]]), torch.tensor([[0.0], [STEP]])
GAIN = torch.tensor([[-0.5, -0.5]])
# Within it no action leaves -1..1; transitions are drawn from a square that is twice as wide.
START = 0.8
MEMBERS, BATCH = 4, 128
# The noise of a policy that is as good as without any.
NO_NOISE = -30.0


class Source(NamedTuple):
    """Which of the two is learned: the dynamics, the values."""

    label: str
    learned_dynamics: bool = True
    learned_values: bool = True


SOURCES = {
    'learned': Source('learned dynamics, learned values'),
    'true_dynamics': Source('true dynamics, learned values', learned_dynamics=False),
    'true_values': Source('learned dynamics, true values', learned_values=False),
}


@dataclass(frozen=True)
class Feedback:
    """a = K s, as what a tanh makes it of."""

    action_size: int = 1

    def distribution(self, params: Params, observations: Tensor) -> Distribution:
        """Return the distribution of atanh(K s)."""
        mean = (observations @ params['gain'].T).clamp(-0.999, 0.999).atanh()
        return {'mean': mean, 'log_std': torch.full_like(mean, NO_NOISE)}


@dataclass(frozen=True)
class TrueValues:
    """Q(s, a) = -|s'|^2 - 0.3 a^2 - gamma s' P s' of the feedback."""

    matrix: Tensor

    def smallest(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """Return Q [B]."""
        after = observations @ PUSHED[0].T + actions @ PUSHED[1].T
        following = (after @ self.matrix * after).sum(-1)
        return cost(observations, actions, after, after) - DISCOUNT * following


def cost(state: Tensor, action: Tensor, next_state: Tensor, goal: Tensor) -> Tensor:
    """Return the reward."""
    return -next_state.square().sum(-1) - EFFORT * action.square().sum(-1)


def exact(states: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient [1, 2] of the mean value of states [B, 2] in K, and P of the values.

    V(s) = -s P s, P = L' (I + gamma P) L + 0.3 K' K with L = A + B K; the gradient is that of
    Fazel et al. 2018, lemma 1: -2 (0.3 K + B' (I + gamma P) L) sum_t gamma^t E s_t s_t'.
    """
    matrix, push, gain = (each.double() for each in (*PUSHED, GAIN))
    closed, eye = matrix + push @ gain, torch.eye(2).double()

    def summed(first: Tensor, power: Tensor) -> Tensor:
        """Return X = first + gamma power X power'."""
        system = torch.eye(4).double() - DISCOUNT * torch.kron(power, power)
        solved: Tensor = torch.linalg.solve(system, first.flatten())
        return solved.view(2, 2)

    weight = summed(closed.T @ closed + EFFORT * gain.T @ gain, closed.T)
    visited = summed(states.double().T @ states.double() / len(states), closed)
    slope = EFFORT * gain + push.T @ (eye + DISCOUNT * weight) @ closed
    return -2.0 * slope @ visited, weight


def true_dynamics() -> Imagined:
    """Return the physics as a model without any hidden layer."""
    dynamics = EnsembleDynamics(1, 2, 1, (0, 1), (), Normalizer.identity(2))
    weight = torch.cat([PUSHED[0] - torch.eye(2), PUSHED[1]], 1)
    return _task(Ensemble(dynamics, {'weight0': weight[None], 'bias0': torch.zeros(1, 2)}))


def _task(models: Ensemble) -> Imagined:
    def never(state: Tensor) -> Tensor:
        return torch.zeros_like(state[..., 0], dtype=torch.bool)

    def no_system(tasks: int, rollouts: int, threads: int) -> Any:
        raise ValueError('there are no robots of this task: it is imagined alone')

    task = MetaTask('double integrator', '', 1, NO_GOALS, cost, no_system, never)
    return Imagined(task, models, torch.arange(2))


def draw_states(rows: int, width: float, generator: torch.Generator) -> Tensor:
    """Draw states [B, 2] uniformly."""
    return width * (2 * torch.rand(rows, 2, generator=generator) - 1)


def draw_transitions(rows: int, noise: float, generator: torch.Generator) -> Transitions:
    """Draw transitions [B, .] of uniform states under uniform actions.

    noise: standard deviation of what the next state is measured with.
    """
    states = draw_states(rows, 2 * START, generator)
    actions = 2 * torch.rand(rows, 1, generator=generator) - 1
    reached = states @ PUSHED[0].T + actions @ PUSHED[1].T
    measured = reached + noise * torch.randn(rows, 2, generator=generator)
    return Transitions(states, actions, measured)


def learned_dynamics(
    transitions: Transitions, epochs: int, generator: torch.Generator
) -> Imagined:
    """Fit an ensemble to transitions."""
    statistics = Normalizer.fit(transitions)
    dynamics = EnsembleDynamics(MEMBERS, 2, 1, (0, 1), (32, 32), statistics, 'swish')
    state = EnsembleState.of(dynamics.init(generator))
    validation = torch.rand(len(transitions.states), MEMBERS, generator=generator).argsort(0)
    data = EnsembleData(transitions, validation < len(validation) // 5)
    fit_ensemble(dynamics, state, data, EnsembleSchedule(epochs, 32, 1e-3, 0.9, 50), generator)
    return _task(Ensemble(dynamics, {k: v.detach() for k, v in state.params.items()}))


def make_learner(seed: int) -> ActorCritic:
    """Return the feedback with critics, without entropy."""
    config = ActorCriticConfig(hidden_sizes=(64, 64), discount=DISCOUNT, learning_rate=1e-3)
    drawn = init_actor_critic(2, 1, config, seed)
    critics = {k: v for k, v in drawn.trained.items() if k.startswith('critic/')}
    trained = {
        'params/gain': GAIN.clone().requires_grad_(),
        'log_temperature': torch.tensor(-math.inf),
    }
    return ActorCritic(
        Feedback(),  # type: ignore[arg-type]  # a policy as functions, like any other
        drawn.critic,
        config,
        trained | critics,
        drawn.optimiser,
        drawn.slow,
    )


def learn_values(
    learner: ActorCritic, transitions: Transitions, updates: int, generator: torch.Generator
) -> None:
    """Let the critics learn the values of the feedback from transitions, by their own targets."""
    imagined = true_dynamics()
    scale_inputs(learner, Normalizer.fit(transitions), imagined.observed)
    for _ in range(updates):
        rows = torch.randint(len(transitions.states), (BATCH,), generator=generator)
        batch = Transitions(*(part[rows] for part in transitions))
        improve_critics(learner, plain_targets(learner, imagined, batch, generator))


def gradient(learner: ActorCritic, imagined: Imagined, states: Tensor, steps: int) -> Tensor:
    """Return the gradient [1, 2] of the actor's objective over `steps` steps in K."""
    path = actor_path(learner, imagined, states, steps, torch.Generator())
    objective = actor_objective(learner, imagined, path)
    return torch.autograd.grad(objective, learner.trained['params/gain'])[0].double()


def gradient_errors(source: Source, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the relative L1 error of the gradient over horizons.

    options: transitions that all is learned from, their noise, epochs, updates, horizons.
    """
    generator = torch.Generator().manual_seed(seed)
    transitions = draw_transitions(options['transitions'], options['noise'], generator)
    states = draw_states(BATCH, START, generator)
    right, weight = exact(states)
    learner = make_learner(seed)
    if source.learned_values:
        learn_values(learner, transitions, options['updates'], generator)
    else:
        learner.critic = TrueValues(weight.float())  # type: ignore[assignment]
    learned = learned_dynamics(transitions, options['epochs'], generator)
    imagined = learned if source.learned_dynamics else true_dynamics()
    found = [gradient(learner, imagined, states, steps) for steps in options['horizons']]
    errors = [float((each - right).abs().sum() / right.abs().sum()) for each in found]
    return {'horizons': options['horizons'], 'error': errors, 'smallest': min(errors)}
