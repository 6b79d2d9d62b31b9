# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle of a policy as what drives a robot: it learns there by the functions of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mbmrl_ros.algorithms import INNER_STEPS, META_POLICY_SEARCH, MODEL_BASED_SEARCH, MODEL_FREE
from mbmrl_ros.algorithms.rl2 import RL2Config
from mbmrl_ros.bundles.policy import PolicyBundle, build_policy
from mbmrl_ros.config import UserError, closest, known_settings, parse
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.task_env import normalized, scaled
from mbmrl_ros.objectives.surrogates import likelihood_ratio
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.robot.policy_driver import DrivenTask, Exploration, PolicyDriver
from mbmrl_ros.robot.policy_learners import (
    GradientLearner,
    MemoryLearner,
    PolicyLearner,
    Schedule,
    Start,
)
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.training.meta.learner import Inner, MetaLearner, adapt, evaluate, value_of
from mbmrl_ros.training.meta.loop import restored_learner
from mbmrl_ros.training.samples import score
from mbmrl_ros.types import Adapted, Paths


@dataclass(frozen=True)
class DriveSettings:
    """How a policy is to drive.

    goal: numbers in the order of the task's goals, such as '0.5 1'. exploration: when actions are
    drawn. seed: of their random stream.
    """

    goal: str = ''
    exploration: Exploration = 'auto'
    seed: int = 0


def make_policy_source(
    spec: RobotSpec, bundle: PolicyBundle, task: MetaTask, settings: DriveSettings, start: Start
) -> tuple[PolicyDriver, torch.Generator]:
    """Return what drives, and its random stream; UserError where anything does not fit.

    start: computes inner steps, at once or in another thread.
    """
    name = bundle.info.algorithm
    families = META_POLICY_SEARCH, MODEL_BASED_SEARCH, MODEL_FREE
    known = {each.name: each for family in families for each in family}
    if name not in known:
        raise UserError(f'the bundle is of algorithm {name!r}; {closest(name, known)}')
    record = known[name].Config
    trained = known_settings(record, bundle.info.training)
    config: Any = parse(record, trained, f'bundle of {name}, training')
    learner = _learner(bundle, config, task, settings.exploration, start)
    driven = drive_task(spec, bundle, task, config, settings.goal)
    generator = torch.Generator().manual_seed(settings.seed)
    return PolicyDriver(learner, driven, generator, settings.exploration), generator


def _learner(
    bundle: PolicyBundle, config: Any, task: MetaTask, exploration: Exploration, start: Start
) -> PolicyLearner:
    policy = build_policy(bundle.info)
    if isinstance(policy, RecurrentPolicy) != isinstance(config, RL2Config):
        kind = bundle.info.cell or 'feed-forward'
        raise UserError(f'the bundle is damaged: no policy of {bundle.info.algorithm} is {kind}')
    if isinstance(policy, RecurrentPolicy):
        return MemoryLearner(policy, bundle.params, config.episodes)
    if bundle.info.algorithm not in INNER_STEPS:
        # What was learned in models is learned: nothing adapts on the robot.
        return GradientLearner(policy, bundle.params, _never, Schedule(1, task.horizon, 0), start)
    learner = restored_learner(bundle, config)
    # Actions that are not drawn say nothing of what others would have earned.
    inner_steps = 0 if exploration == 'never' else config.inner_steps
    schedule = Schedule(config.rollouts, config.horizon or task.horizon, inner_steps)
    inner_steps_of = partial(take_inner_steps, learner, INNER_STEPS[bundle.info.algorithm])
    return GradientLearner(policy, bundle.params, inner_steps_of, schedule, start)


def _never(rounds: Sequence[Paths]) -> Adapted:
    raise AssertionError('a policy without inner steps has none to take')


@torch.no_grad()
def take_inner_steps(learner: MetaLearner, inner: Inner, rounds: Sequence[Paths]) -> Adapted:
    """Take an inner step on each round of one task's rollouts [1, R, T, .], as training does.

    Losses are minus the mean of likelihood ratio times advantage over the last round: 0 before its
    step, less after it. That of some algorithms' own surrogates (LVC, DiCE) is the same wherever
    it is looked at. The step is refused if a parameter is not finite.
    """
    samples = [score(paths, learner.config, inner.credit) for paths in rounds]
    adapted = adapt(learner, learner.trained, samples, inner.surrogate)
    judged = score(rounds[-1], learner.config)
    before = value_of(adapted.before[-1], judged, likelihood_ratio).detach()
    after = evaluate(learner, adapted.params, judged, likelihood_ratio)
    sound = torch.stack([value.isfinite().all() for value in adapted.params.values()]).all()[None]
    params = {name: value[0].detach() for name, value in adapted.params.items()}
    return Adapted(params, -before, -after, sound, ~sound)


def drive_task(
    spec: RobotSpec, bundle: PolicyBundle, task: MetaTask, config: Any, goal: str
) -> DrivenTask:
    """Return a task as it is met on a robot; UserError if task, goal or bundle are for another."""
    if not task.robot or load_robot(task.robot).hash != spec.hash:
        theirs = task.robot or 'a point, which is no robot'
        raise UserError(f'{task.name} is a task of {theirs}, and {spec.name} is driven')
    row = goal_row(task, goal)
    variance = _statistic(bundle, 'rewards_variance', config.normalize_rewards)

    def reward(state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        earned = task.reward(state, action, next_state, row)
        return earned if variance is None else scaled(earned, variance)

    return DrivenTask(
        config.horizon or task.horizon,
        reward,
        task.done,
        _observe(spec, bundle, config),
        bundle.info.action_scale,
        bundle.info.squashed,
    )


def goal_row(task: MetaTask, goal: str) -> Tensor:
    """Return a goal as a task's reward takes it: [1, G] in float64.

    Factors of the physics are as they are, and not for anybody to give. UserError unless there
    are as many finite numbers as the reward has goals.
    """
    names = [name for name in task.goals.names if ':' not in name]
    drawn = task.goals.draw(torch.Generator().manual_seed(0), 1)[0].tolist()
    try:
        given = torch.tensor([float(word) for word in goal.replace(',', ' ').split()])
    except ValueError:
        given = torch.full((1,), torch.nan)
    if len(given) != len(names) or not bool(given.isfinite().all()):
        example = ' '.join(f'{drawn[task.goals.names.index(name)]:.3g}' for name in names)
        valid = f'{", ".join(names)}, as in goal:=\'"{example}"\'' if names else 'none, leave it'
        raise UserError(f'goal {goal!r} of {task.name}: valid: {valid}; its reward depends on it')
    row = torch.ones(1, len(task.goals.names), dtype=torch.float64)
    row[0, [task.goals.names.index(name) for name in names]] = given.double()
    return row


def _observe(spec: RobotSpec, bundle: PolicyBundle, config: Any) -> Any:
    """Return what shows a policy a state, as envs/task_env.py does."""
    info = bundle.info
    observed = range(spec.state_size) if info.whole_state else spec.input_indices
    places = torch.tensor(observed)
    memory = 0 if info.cell is None else spec.action_size + 2
    sizes = len(places) + memory, spec.action_size
    if sizes != (info.observation_size, info.action_size):
        raise UserError(
            f'the bundle is damaged: its policy has {info.observation_size} inputs and '
            f'{info.action_size} actions, {spec.name} {sizes[0]} and {sizes[1]}'
        )
    mean, variance = (
        _statistic(bundle, f'observations_{part}', config.normalize_observations)
        for part in ('mean', 'variance')
    )

    def observe(state: Tensor) -> Tensor:
        seen = state[:, places].double()
        if mean is not None and variance is not None:
            seen = normalized(seen, mean, variance)
        return seen.float()

    return observe


def _statistic(bundle: PolicyBundle, name: str, wanted: bool) -> Tensor | None:
    """Return a statistic of training, which stays as it was; UserError if it is not there."""
    found = bundle.tensors.get(f'normalizer/{name}')
    if wanted and found is None:
        raise UserError(f'the bundle is damaged: normalizer/{name} is not in model.safetensors')
    return found if wanted else None
