# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Actor-critics that learn through an ensemble of models: collect, fit, improve, again.

Each stage is a function of what it is given. Real data lies in the run folder, by iteration; so a
run goes on with the buffer that it had.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.config import Config, Positive, UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.data.replay import Replay, replay
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.task_env import SamplingConfig
from mbmrl_ros.models.ensemble import ActivationName, Ensemble, EnsembleDynamics
from mbmrl_ros.models.fit_ensemble import (
    EnsembleData,
    EnsembleFit,
    EnsembleSchedule,
    EnsembleState,
    fit_ensemble,
)
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.policies import squashed
from mbmrl_ros.policies.gaussian import Distribution
from mbmrl_ros.training.actor_critic import (
    ActorCritic,
    ActorCriticConfig,
    init_actor_critic,
    scale_inputs,
)
from mbmrl_ros.training.experience import Experience, experience, uniform
from mbmrl_ros.training.meta_learner import Metrics, group
from mbmrl_ros.training.meta_policy import policy_info
from mbmrl_ros.training.meta_settings import Width
from mbmrl_ros.training.policy_run import train_policy
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.soft_paths import Imagined
from mbmrl_ros.training.timed_env import TimedEnv


class ModelConfig(Config):
    """The models: E networks, each with a part of the data to be stopped by (MAAC, appendix)."""

    members: int = Field(8, ge=1, description='E: networks')
    model_hidden_sizes: tuple[Width, ...] = Field((200,) * 4, description='layers of each')
    model_activation: ActivationName = Field('swish', description='of the models: relu, swish')
    probabilistic: bool = Field(True, description='predict a variance, and draw from it')
    model_learning_rate: Positive = Field(1e-3, description='Adam, of the models')
    model_batch_size: int = Field(256, ge=1, description='transitions per member and step')
    model_epochs: int = Field(200, ge=1, description='of a fit, at most')
    model_updates: int | None = Field(
        None, ge=1, description='of a fit, at most, per `steps` new real steps; default: no limit'
    )
    persistency: float = Field(
        0.9, ge=0, lt=1, description='of the average of validation errors that stops a fit'
    )
    patience: int = Field(5, ge=1, description='epochs without a new low that end a fit')
    validation_fraction: float = Field(0.2, gt=0, lt=1, description='held out per member')
    buffer_size: int = Field(1_000_000, ge=1, description='newest transitions that are kept')


class OnlineConfig(ActorCriticConfig, ModelConfig):
    """How often what is done."""

    iterations: int = Field(100, ge=1, description='of collecting, fitting and improving')
    initial_steps: int = Field(5000, ge=1, description='of random actions, in the first iteration')
    steps: int = Field(1000, ge=1, description='real steps of the other iterations')
    updates_per_step: Positive = Field(10.0, description='gradient steps per real step')
    horizon: int | None = Field(None, ge=1, description="of an episode; default: the task's")
    whole_state: bool = Field(False, description='show policies absolute positions, too')


Improve = Callable[[ActorCritic, Imagined, Replay, int, torch.Generator], Metrics]
"""(learner, models, real data, updates, generator) -> what was measured; changes the learner."""


@dataclass
class Online:
    """A training: robots, learner, real data by iteration, the columns that policies see [O]."""

    env: TimedEnv
    learner: ActorCritic
    config: OnlineConfig
    data: list[list[Trajectory]]
    observed: torch.Tensor


def observed_columns(env: TimedEnv, config: OnlineConfig) -> torch.Tensor:
    """Return which columns of a state a policy is shown."""
    whole = range(env.system.state_size)
    return torch.tensor(whole if config.whole_state else env.system.observed)


def collect(online: Online, steps: int, random: bool, generator: torch.Generator) -> Experience:
    """Act on the real task, at random or by the policy."""
    draw = uniform if random else squashed.sample
    return experience(online.env, _acting(online), draw, steps, generator)


def evaluate(online: Online, generator: torch.Generator) -> float:
    """Return the return of an episode without noise, whose steps teach nothing."""

    def most_likely(distribution: Distribution, generator: torch.Generator) -> torch.Tensor:
        return squashed.mode(distribution)

    return experience(online.env, _acting(online), most_likely, 1, generator).returns[0]


def _acting(online: Online) -> Callable[[torch.Tensor], Distribution]:
    learner, observed = online.learner, online.observed
    params = {name: value.detach() for name, value in learner.params.items()}
    return lambda states: learner.policy.distribution(params, states[..., observed])


def fit(
    learner: ActorCritic,
    data: Replay,
    env: TimedEnv,
    config: OnlineConfig,
    generator: torch.Generator,
) -> tuple[Ensemble, EnsembleFit]:
    """Fit statistics and all members to the real data, going on from the last fit."""
    dynamics = EnsembleDynamics(
        config.members,
        env.system.state_size,
        env.action_size,
        env.system.observed,
        config.model_hidden_sizes,
        Normalizer.fit(data.transitions),
        config.model_activation,
        config.probabilistic,
    )
    known = group(learner.memory, 'models')
    state = (
        EnsembleState.from_tensors(known) if known else EnsembleState.of(dynamics.init(generator))
    )
    shape = len(data.time), config.members
    new = int((data.source == data.source[-1]).sum())
    held = torch.rand(shape, generator=generator) < config.validation_fraction
    schedule = EnsembleSchedule(
        _epochs(config, int((~held).sum(0).min()), new),
        config.model_batch_size,
        config.model_learning_rate,
        config.persistency,
        config.patience,
    )
    known_data = EnsembleData(data.transitions, held)
    fitted = fit_ensemble(dynamics, state, known_data, schedule, generator)
    learner.memory |= {f'models/{name}': value for name, value in state.tensors().items()}
    return Ensemble(dynamics, state.params), fitted


def _epochs(config: OnlineConfig, rows: int, new: int) -> int:
    """Return the epochs of a fit to so many rows, of which some are new."""
    if config.model_updates is None:
        return config.model_epochs
    updates = config.model_updates * new / config.steps
    batches = max(1, rows // config.model_batch_size)
    return min(config.model_epochs, max(1, round(updates / batches)))


def iteration(online: Online, run: Run, improve: Improve, generator: torch.Generator) -> Metrics:
    """Collect, fit, improve; return a row of metrics.csv."""
    env, learner, config = online.env, online.learner, online.config
    number, physics_s, started = len(online.data) + 1, env.physics_s, time.perf_counter()
    steps = config.initial_steps if number == 1 else config.steps
    gained = collect(online, steps, number == 1, generator)
    run.save_data(number, gained.trajectories)
    online.data.append(gained.trajectories)
    data = replay(online.data, config.buffer_size)
    collected = time.perf_counter()
    ensemble, fitted = fit(learner, data, env, config, generator)
    scale_inputs(learner, ensemble.dynamics.normalizer, online.observed)
    fit_s = time.perf_counter() - collected
    imagined = Imagined(env.task, ensemble, online.observed)
    updates = math.ceil(gained.steps * config.updates_per_step)
    measured = improve(learner, imagined, data, updates, generator)
    physics_s = env.physics_s - physics_s
    total = sum(trajectory.steps for each in online.data for trajectory in each)
    returned = sum(gained.returns) / len(gained.returns)
    score = evaluate(online, generator)
    return {
        'steps': float(gained.steps),
        'environment_steps': float(total),
        'return_before': returned,
        'return_after': score,
        'episodes': float(len(gained.returns)),
        'model_error': float(fitted.best.mean()),
        'model_epochs': float(fitted.epochs.mean()),
        'temperature': float(learner.temperature),
        'physics_s': physics_s,
        'policy_s': collected - started - physics_s,
        'fit_s': fit_s,
        **measured,
    }


def train_actor_critic(
    name: str, task: MetaTask, config: OnlineConfig, run: Run, seed: int, improve: Improve
) -> PolicyBundle:
    """Repeat the three stages, or go on with what the run folder holds; return the last bundle."""
    if task.goals.names:
        raise UserError(
            f'{task.name} has goals, which a policy is not told of; {name} learns one task '
            '(docs/environments.md, tasks without goals)'
        )
    sampling = SamplingConfig(action_scale=1.0, whole_state=True)
    env = TimedEnv(task, 1, 1, sampling)
    env.horizon = config.horizon or task.horizon
    done, _ = run.load_checkpoint()
    data = [run.load_data(number) for number in range(1, done + 1)]
    observed = observed_columns(env, config)
    learner = init_actor_critic(len(observed), env.action_size, config, seed)
    online = Online(env, learner, config, data, observed)
    return train_policy(
        run,
        env,
        learner,
        lambda generator: iteration(online, run, improve, generator),
        policy_info(
            name,
            task,
            env,
            config,
            observation_size=len(observed),
            hidden_sizes=config.hidden_sizes,
            squashed=True,
            min_std=math.exp(squashed.MIN_LOG_STD),
        ),
        seed,
    )
