# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""MAAC: model-augmented actor-critic (Clavera, Fu, Abbeel 2020; thesis, chapter 7).

Algorithm                                                where
  1  initialise pi, Q and the models                     training/search/loop.py
  3  sample with pi, add to the real data                training/soft/stages.py, collect
  5  fit the models to the real data                     training/search/stages.py, fit
  8  sample in the models, add to the model data         training/soft/paths.py, branched
 11  step of the critics, on targets through the models  training/soft/updates.py, improve_critics
 12  step of the actor, up T steps of the models and Q   training/soft/updates.py, improve_actor

With `actor: none` it is MBPO (Janner et al. 2019): SAC on model data. With `critic_targets: path`
and long model rollouts it is DHMBPO (Kubo et al. 2025), with its two horizons.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator

from mbmrl_ros.bundles.policy import PolicyBundle
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search.loop import train_search
from mbmrl_ros.training.search.stages import Improved, Models, Search, Stages
from mbmrl_ros.training.soft.actor_critic import ActorCritic, tensors
from mbmrl_ros.training.soft.paths import Imagined, SoftPath, branched
from mbmrl_ros.training.soft.stages import (
    OnlineConfig,
    acting_by_means,
    begin,
    collect,
    exploring,
    open_models,
    resume,
    squashed_network,
)
from mbmrl_ros.training.soft.updates import (
    CriticTargets,
    Targets,
    actor_path,
    improve_actor,
    improve_critics,
    path_targets,
    plain_targets,
    weighted_targets,
)
from mbmrl_ros.types import Params, Transitions


class MAACConfig(OnlineConfig):
    """Settings of MAAC; the thesis' values, of chapter 7 and appendix, or those of its code."""

    actor: Literal['pathwise', 'none'] = Field(
        'pathwise', description='its gradient goes through the models; none: MBPO'
    )
    actor_horizon: int = Field(3, ge=1, description='T: its steps of models (the code; walker: 1)')
    critic_targets: CriticTargets = Field(
        'plain',
        description='of transitions; inverse_variance: expanded by the models (STEVE); path: of '
        "all states of the actor's path (DHMBPO)",
    )
    critic_horizon: int = Field(
        2, ge=1, description='steps of expanded targets; of path: how many of its states'
    )
    real_ratio: float = Field(0.05, ge=0, le=1, description='real among the states of a batch')
    rollout_length: tuple[int, int, int, int] = Field(
        (20, 100, 1, 1),
        description='[a, b, m, n]: steps of model rollouts, m up to iteration a, n from b on',
    )
    model_rollouts: int = Field(100_000, ge=1, description='model rollouts at a time')
    model_rollouts_every: int = Field(2000, ge=1, description='updates between them')
    model_buffer: int = Field(2_000_000, ge=1, description='newest transitions of models kept')

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        for name, value in (
            ('update_batch_size', self.update_batch_size),
            ('model_rollouts', self.model_rollouts),
        ):
            if value % self.members:
                raise ValueError(
                    f'{name} must be a multiple of the {self.members} members, got {value}'
                )
        if self.critic_targets == 'path' and self.critic_horizon > self.steps_of_path:
            raise ValueError(
                f'critic_horizon must be at most the steps of the path ({self.steps_of_path}), '
                f'got {self.critic_horizon}'
            )
        return self

    @property
    def steps_of_path(self) -> int:
        """How far the actor looks ahead."""
        return self.actor_horizon if self.actor == 'pathwise' else 0


def improve(
    search: Search[MAACConfig], policy: Params, models: Models, generator: torch.Generator
) -> Improved:
    """Lines 7 to 13, once per new real step, or as often as the settings say."""
    config, learner = search.config, resume(search, policy)
    imagined, data, updates = open_models(search, learner, models)
    length = scheduled(config.rollout_length, int(data.source[-1]) + 1)
    pool = Transitions(*(tensor[:0] for tensor in data.transitions))
    critic_loss = value = 0.0
    for update in range(updates):
        if update % config.model_rollouts_every == 0:
            starts, _ = data.anywhere(generator, config.model_rollouts)
            new = branched(imagined, learner.policy, learner.params, starts, length, generator)
            pool = _newest(pool, new, config.model_buffer)
        batch = _mixed(pool, data.transitions, config, generator)
        path = actor_path(learner, imagined, batch.states, config.steps_of_path, generator)
        targets = _targets(config, learner, imagined, (batch, path), generator)
        critic_loss += improve_critics(learner, targets) / updates
        value += improve_actor(learner, imagined, path) / updates
    return Improved(
        tensors(learner),
        {
            'critic_loss': critic_loss,
            'value': value,
            'entropy': -float(path.log_probs.detach().mean()),
            'temperature': float(learner.temperature),
            'rollout_length': float(length),
            'updates': float(updates),
        },
    )


def scheduled(schedule: tuple[int, int, int, int], iteration: int) -> int:
    """Return the steps of model rollouts in an iteration, which grow linearly (MBPO)."""
    begin, end, first, last = schedule
    share = min(1.0, max(0.0, (iteration - begin) / max(1, end - begin)))
    return round(first + share * (last - first))


def _newest(pool: Transitions, new: Transitions, size: int) -> Transitions:
    return Transitions(*(torch.cat(pair)[-size:] for pair in zip(pool, new)))


def _mixed(
    pool: Transitions, real: Transitions, config: MAACConfig, generator: torch.Generator
) -> Transitions:
    """Draw a batch: a share of it from real transitions, the others from those of models."""
    count = round(config.real_ratio * config.update_batch_size)
    sizes = (real, count), (pool, config.update_batch_size - count)
    rows = [
        torch.randint(len(source.states), (size,), generator=generator) for source, size in sizes
    ]
    return Transitions(*(torch.cat([a[rows[0]], b[rows[1]]]) for a, b in zip(real, pool)))


def _targets(
    config: MAACConfig,
    learner: ActorCritic,
    imagined: Imagined,
    sampled: tuple[Transitions, SoftPath],
    generator: torch.Generator,
) -> Targets:
    batch, path = sampled
    if config.critic_targets == 'path':
        return path_targets(learner, imagined, path, config.critic_horizon)
    if config.critic_targets == 'plain':
        return plain_targets(learner, imagined, batch, generator)
    return weighted_targets(learner, imagined, batch, config.critic_horizon, generator)


STAGES = Stages(
    begin,
    improve,
    collect,
    acting=acting_by_means,
    exploring=exploring,
    network=squashed_network,
    # A tenth of an update per step of the newest episode, each time.
    asynchronous={'updates_per_step': 0.1},
)


def train(task: MetaTask, config: MAACConfig, run: Run, seed: int) -> PolicyBundle:
    """Train, or go on with what the run folder holds; return the last bundle."""
    return train_search('maac', STAGES, task, config, run, seed)


MAAC = Algorithm(
    'maac',
    'actor-critic whose gradient goes through models',
    MAACConfig,
    train,
    load_meta_task,
    'policies',
)
