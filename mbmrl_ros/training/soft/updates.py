# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One update of an actor-critic through models: targets of the critics, gradient of the actor."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mbmrl_ros.objectives.soft_values import action_values, inverse_variance, temperature_loss
from mbmrl_ros.policies.squashed import draw
from mbmrl_ros.training.soft.actor_critic import ActorCritic, descend, follow
from mbmrl_ros.training.soft.paths import Imagined, SoftPath, soft_path
from mbmrl_ros.types import Transitions

CriticTargets = Literal['plain', 'inverse_variance', 'path']


class Targets(NamedTuple):
    """What critics are to say: values [B] of observations [B, O] and actions [B, A]."""

    observations: Tensor
    actions: Tensor
    values: Tensor


def actor_path(
    learner: ActorCritic,
    imagined: Imagined,
    states: Tensor,
    steps: int,
    generator: torch.Generator,
) -> SoftPath:
    """Imagine what the actor's gradient goes through, from states [B, S]."""
    return soft_path(imagined, learner.policy, learner.params, states, steps, generator)


def actor_objective(learner: ActorCritic, imagined: Imagined, path: SoftPath) -> Tensor:
    """Return the mean over B of what the actor ascends (MAAC, equation 4; SVG(H) with entropy).

        sum_t gamma^t (r_t - alpha log pi_t) + gamma^T (min Q(s_T, a_T) - alpha log pi_T)

    With no step at all it is SAC's.
    """
    critics = {name: value.detach() for name, value in learner.critics.items()}
    last = learner.critic.smallest(critics, imagined.observe(path.states[-1]), path.actions[-1])
    entropies = -learner.temperature * path.log_probs
    values = action_values(path.rewards, path.done, entropies, last, learner.config.discount)
    return ((values[0] if len(values) else last) + entropies[0]).mean()


@torch.no_grad()
def path_targets(learner: ActorCritic, imagined: Imagined, path: SoftPath, steps: int) -> Targets:
    """Return value expansions of the first steps of a path (DHMBPO), those before its end."""
    path = SoftPath(*(part.detach() for part in path))
    observations = imagined.observe(path.states)
    slow = learner.slow_critics
    last = learner.critic.smallest(slow, observations[-1], path.actions[-1])
    last = last.clamp(*imagined.value_range)
    entropies = -learner.temperature * path.log_probs
    values = action_values(path.rewards, path.done, entropies, last, learner.config.discount)
    ended = torch.cat([torch.zeros_like(path.done[:1]), path.done[:-1]]).cumsum(0) > 0
    alive = ~ended[:steps]
    return Targets(observations[:steps][alive], path.actions[:steps][alive], values[:steps][alive])


@torch.no_grad()
def plain_targets(
    learner: ActorCritic,
    imagined: Imagined,
    transitions: Transitions,
    generator: torch.Generator,
) -> Targets:
    """Return r + gamma (min Q' - alpha log pi) of transitions (SAC; MBPO)."""
    following = imagined.observe(transitions.next_states)
    actions, log_probs = draw(learner.policy.distribution(learner.params, following), generator)
    last = learner.critic.smallest(learner.slow_critics, following, actions)
    last = last.clamp(*imagined.value_range)
    entropies = torch.stack([torch.zeros_like(log_probs), -learner.temperature * log_probs])
    rewards = imagined.reward(transitions)[None]
    done = imagined.task.done(transitions.next_states)[None]
    (values,) = action_values(rewards, done, entropies, last, learner.config.discount)
    return Targets(imagined.observe(transitions.states), transitions.actions, values)


@torch.no_grad()
def weighted_targets(
    learner: ActorCritic,
    imagined: Imagined,
    transitions: Transitions,
    steps: int,
    generator: torch.Generator,
) -> Targets:
    """Return expansions by 0 to K = steps steps of every member, weighted (MAAC; STEVE).

    One target per member, critic and horizon: so that not looking ahead has a variance, too.
    """
    members, rows = imagined.ensemble.dynamics.members, len(transitions.states)
    starts = transitions.next_states.repeat(members, 1)
    path = soft_path(imagined, learner.policy, learner.params, starts, steps, generator)
    entropies = -learner.temperature * path.log_probs
    first = imagined.reward(transitions).repeat(members)[None]
    ended = imagined.task.done(transitions.next_states).repeat(members)[None]
    rewards, done = torch.cat([first, path.rewards]), torch.cat([ended, path.done])
    entropies = torch.cat([torch.zeros_like(first), entropies])
    horizons = []
    for ahead in range(steps + 1):
        seen, actions = imagined.observe(path.states[ahead]), path.actions[ahead]
        last = learner.critic.values(learner.slow_critics, seen, actions)
        last = last.clamp(*imagined.value_range)
        parts = rewards[: ahead + 1, None], done[: ahead + 1, None], entropies[: ahead + 2, None]
        values = action_values(*parts, last, learner.config.discount)[0]
        horizons.append(values.view(-1, members, rows).flatten(0, 1))
    values = inverse_variance(torch.stack(horizons))
    return Targets(imagined.observe(transitions.states), transitions.actions, values)


def improve_critics(learner: ActorCritic, targets: Targets) -> float:
    """Take a step of the critics towards targets, and of their slow copies; return the loss."""
    values = learner.critic.values(learner.critics, targets.observations, targets.actions)
    loss = 0.5 * (values - targets.values).square().mean(-1).sum()
    descend(learner, loss, 'critic')
    follow(learner)
    return float(loss.detach())


def improve_actor(learner: ActorCritic, imagined: Imagined, path: SoftPath) -> float:
    """Take a step of the actor along a path, and of the temperature; return the objective."""
    objective = actor_objective(learner, imagined, path)
    log_temperature = learner.trained['log_temperature']
    loss = temperature_loss(log_temperature, path.log_probs[0], learner.target_entropy)
    descend(learner, loss - objective, 'params', 'log_temperature')
    return float(objective.detach())
