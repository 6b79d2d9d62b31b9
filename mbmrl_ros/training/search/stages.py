# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stages of model-based policy search, pure in their state.

    collect(policy) -> trajectories      fit(models, data) -> models
    improve(policy, models) -> policy    each algorithm's own

Nobody keeps anything between two calls: what a stage is given stays as it was, what it returns is
new. So a loop may call them in turn, or processes of their own whenever they like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.replay import Replay, Starts, oldest, replay
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.models.ensemble import Ensemble, EnsembleDynamics
from mbmrl_ros.models.fit_ensemble import (
    EnsembleData,
    EnsembleSchedule,
    EnsembleState,
    fit_ensemble,
)
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.networks.params import group
from mbmrl_ros.policies.gaussian import GaussianPolicy
from mbmrl_ros.training.rollouts import Act
from mbmrl_ros.training.search.imagine import Imagination, ImaginedEnv, MemberChoice
from mbmrl_ros.training.search.recorded_env import RecordedEnv, random_actions
from mbmrl_ros.training.search.settings import LoopConfig
from mbmrl_ros.types import Metrics, Params

Data = list[list[Trajectory]]
"""What was collected, iteration by iteration."""

ConfigT = TypeVar('ConfigT', bound=LoopConfig)
NORMALIZER = ('state_mean', 'state_std', 'delta_mean', 'delta_std')


class Models(NamedTuple):
    """What is known of the dynamics: models in training, statistics, and where they are from."""

    state: EnsembleState
    normalizer: Normalizer
    replay: Replay | None = None

    def tensors(self) -> Params:
        """Return all but the data by name, for a file."""
        statistics = {f'normalizer/{k}': getattr(self.normalizer, k) for k in NORMALIZER}
        return self.state.tensors() | statistics

    @classmethod
    def from_tensors(cls, tensors: Params) -> Models:
        """Return what `tensors` gave."""
        normalizer = Normalizer(*(tensors[f'normalizer/{key}'] for key in NORMALIZER))
        return cls(EnsembleState.from_tensors(tensors), normalizer)


@dataclass(frozen=True)
class Search(Generic[ConfigT]):
    """A task, and how a policy is searched for it."""

    task: MetaTask
    config: ConfigT
    seed: int

    @cached_property
    def env(self) -> RecordedEnv:
        """The robots: as many as there are real rollouts per iteration, each a task of its own."""
        task = replace(self.task, horizon=self.config.horizon or self.task.horizon)
        return RecordedEnv(task, self.config.real_rollouts, 1, self.config)

    @cached_property
    def policy(self) -> GaussianPolicy:
        """The policy as functions, where it is a Gaussian (SearchConfig)."""
        config: Any = self.config
        sizes = self.env.observation_size, self.env.action_size, config.hidden_sizes
        return GaussianPolicy(*sizes, config.init_std, config.min_std)

    def dynamics(self, normalizer: Normalizer) -> EnsembleDynamics:
        """Return the models as functions."""
        config, system = self.config, self.env.system
        return EnsembleDynamics(
            config.members,
            system.state_size,
            system.action_size,
            tuple(system.observed),
            config.model_hidden_sizes,
            normalizer,
            config.model_activation,
            config.probabilistic,
            config.weight_norm,
        )

    def begin_models(self) -> Models:
        """Draw models."""
        normalizer = Normalizer.identity(self.env.system.state_size)
        params = self.dynamics(normalizer).init(self.generator(0, 'fit'))
        return Models(EnsembleState.of(params), normalizer)

    def ensemble(self, models: Models) -> Ensemble:
        """Return models as what imagined rollouts are made with."""
        return Ensemble(self.dynamics(models.normalizer), models.state.params)

    def imagined(
        self,
        models: Models,
        size: tuple[int, int],
        members: MemberChoice = 'step',
        differentiable: bool = False,
        starts: Starts | None = None,
    ) -> ImaginedEnv:
        """Return the task in the models, for N x R rollouts.

        starts: where they begin; default: where the settings say.
        """
        assert models.replay is not None, 'nothing was collected'
        config: Any = self.config
        horizon = config.imagined_horizon or self.env.horizon
        starts = starts or models.replay.starts(config.start_anywhere)
        imagination = Imagination(*size, horizon, starts, members, differentiable)
        return ImaginedEnv(self.env, self.ensemble(models), imagination)

    def generator(self, iteration: int, stage: str) -> torch.Generator:
        """Return a random stream of its own for every stage of an iteration."""
        part = ('collect', 'fit', 'improve', 'validation', 'evaluate').index(stage)
        sequence = np.random.SeedSequence((self.seed, iteration, part))
        return torch.Generator().manual_seed(int(sequence.generate_state(1)[0]))


class Improved(NamedTuple):
    """What `improve` returns: the policy, by name, and what it measured."""

    policy: Params
    metrics: Metrics


class Fitted(NamedTuple):
    """What `fit` returns."""

    models: Models
    metrics: Metrics


def collect(
    search: Search[Any], policy: Params | None, generator: torch.Generator
) -> list[Trajectory]:
    """Roll the policy out on the robots; None: random actions.

    policy: params/NAME; where there are adapted/NAME with a leading dimension, these take turns
    (MB-MPO: tailored exploration).
    """
    env = search.env
    act = random_actions(env, generator) if policy is None else acting(search, policy)
    return env.roll_out(act, generator)


def acting(search: Search[Any], policy: Params) -> Act:
    """Return what acts by a policy, or by its adapted ones in turn."""
    params = {name: value.detach() for name, value in group(policy, 'params').items()}
    adapted = group(policy, 'adapted')
    if adapted:
        turns = torch.arange(search.env.tasks) % len(adapted['log_std'])
        params = {name: value[turns] for name, value in adapted.items()}
    return lambda observations: search.policy.distribution(params, observations)


def exploring(search: Search[Any], policy: Params, generator: torch.Generator) -> Act:
    """Return what acts while it learns: the same, as its distributions have the noise."""
    return acting(search, policy)


def fit(search: Search[Any], models: Models, data: Data, generator: torch.Generator) -> Fitted:
    """Refit statistics and models to the newest transitions."""
    config = search.config
    buffer = replay(data, config.buffer_size)
    surprise = _surprise(search, models, data[-1]) if len(data) > 1 else float('nan')
    state = EnsembleState.from_tensors(models.state.tensors())
    models = Models(state, Normalizer.fit(buffer.transitions), buffer)
    result = fit_ensemble(
        search.dynamics(models.normalizer),
        state,
        EnsembleData(buffer.transitions, _validation(search, data)),
        EnsembleSchedule(
            _epochs(config, buffer),
            config.batch_size,
            config.model_learning_rate,
            config.persistency,
            config.patience,
        ),
        generator,
    )
    return Fitted(
        models,
        {
            'error_on_new_data': surprise,
            'validation_before': float(result.before.mean()),
            'validation_error': float(result.best.mean()),
            'validation_error_worst': float(result.best.max()),
            'epochs': float(result.epochs.mean()),
        },
    )


def _epochs(config: LoopConfig, buffer: Replay) -> int:
    """Return how many passes over the data a fit takes at most."""
    if config.fit_updates is None:
        return config.epochs
    new = int((buffer.source == buffer.source[-1]).sum())
    learned_from = (1 - config.validation_fraction) * len(buffer.time)
    updates = config.fit_updates * new * config.batch_size / learned_from
    return min(config.epochs, max(1, round(updates)))


@torch.no_grad()
def _surprise(search: Search[Any], models: Models, collected: list[Trajectory]) -> float:
    """Return the mean error over models on what they have not been fitted to yet."""
    transitions = replay([collected], search.config.buffer_size).transitions
    shared = (t.expand(search.config.members, *t.shape) for t in transitions)
    dynamics, params = search.ensemble(models)
    return float(dynamics.errors(params, type(transitions)(*shared)).mean())


def _validation(search: Search[Any], data: Data) -> Tensor:
    """Return which transitions of the buffer stop which model [n, E].

    Chosen once, when they are collected.
    """
    masks, size = [], search.config.buffer_size
    first = oldest(data, size)
    for iteration, trajectories in enumerate(data[first:], first + 1):
        count = sum(trajectory.steps for trajectory in trajectories)
        generator = search.generator(iteration, 'validation')
        order = torch.rand(count, search.config.members, generator=generator).argsort(0)
        masks.append(order.argsort(0) < round(search.config.validation_fraction * count))
    return torch.cat(masks)[-size:]


def gaussian_network(search: Search[Any]) -> dict[str, Any]:
    """Return what a bundle says of a Gaussian policy (bundles/policy.py)."""
    policy = search.policy
    return {
        'observation_size': policy.observation_size,
        'hidden_sizes': policy.hidden_sizes,
        'min_std': policy.min_std,
    }


class Stages(NamedTuple):
    """What an algorithm is: how its policy begins and is improved; what all share.

    begin(search) -> policy. improve(search, policy, models, generator) -> Improved. acting(search,
    policy): what acts, where its distributions' means are actions. exploring(search, policy,
    generator): what acts while it learns, by draws of its distributions. network(search): what
    builds the policy, for a bundle. asynchronous: settings of an improvement where the stages run
    beside each other, each as often as it can; None: it is not for that.
    """

    begin: Callable[[Search[Any]], Params]
    improve: Callable[[Search[Any], Params, Models, torch.Generator], Improved]
    collect: Callable[[Search[Any], Params | None, torch.Generator], list[Trajectory]] = collect
    fit: Callable[[Search[Any], Models, Data, torch.Generator], Fitted] = fit
    acting: Callable[[Search[Any], Params], Act] = acting
    exploring: Callable[[Search[Any], Params, torch.Generator], Act] = exploring
    network: Callable[[Search[Any]], dict[str, Any]] = gaussian_network
    asynchronous: Mapping[str, Any] | None = None


def begin_gaussian(search: Search[Any]) -> Params:
    """Draw a Gaussian policy: params/NAME."""
    params = search.policy.init(torch.Generator().manual_seed(search.seed))
    return {f'params/{name}': value for name, value in params.items()}
