# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl combine`: bundles that belong together, as one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from mbmrl_ros.bundles.actor import Actor, make_actor
from mbmrl_ros.bundles.combine import make_ensemble
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, read_info, save_bundle, with_actor
from mbmrl_ros.bundles.files import check_interface, find_bundle
from mbmrl_ros.bundles.policy import load_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.own_tasks import own_tasks
from mbmrl_ros.envs.tasks import POLICY_TASKS, TASKS
from mbmrl_ros.planners.kinds import changed
from mbmrl_ros.spec.robot import RobotSpec, load_robot
from mbmrl_ros.training.trained import trained_critics


def combine_command(options: argparse.Namespace) -> None:
    """Make an ensemble of models, put a policy beside it; write it as a bundle."""
    folders = [bundle_folder(name) for name in options.models]
    if options.out.resolve() in [folder.resolve() for folder in folders]:
        raise UserError(f'--out {options.out} is one of the models; choose another folder')
    if options.uncertainty_penalty and len(folders) == 1:
        raise UserError('--uncertainty-penalty needs several models, which can disagree')
    robot = options.robot or read_info(folders[0]).robot
    spec = load_robot(robot)
    bundles = {str(folder): load_bundle(folder, spec) for folder in folders}
    if len(bundles) < len(folders):
        raise UserError('a model is named twice: members of an ensemble have to differ')
    bundle = next(iter(bundles.values()))
    if len(bundles) > 1:
        bundle = make_ensemble(bundles, options.uncertainty_penalty)
    elif not options.policy:
        raise UserError('combine needs several models, or --policy')
    if options.policy:
        bundle = _with_policy(bundle, spec, robot, options)
    save_bundle(options.out, bundle)
    print(f'bundle: {options.out}, {describe(bundle)}')


def _with_policy(
    bundle: Bundle, spec: RobotSpec, robot: str, options: argparse.Namespace
) -> Bundle:
    """Return a bundle with the policy, and the share of the candidates that was asked for."""
    folder = bundle_folder(options.policy)
    actor = _actor(folder, spec, options.value_weight)
    if not _earns_the_same(bundle.info.task, actor.info.task, spec, robot):
        raise UserError(
            f'{folder} is a policy for {actor.info.task}, the model is for {bundle.info.task}, '
            'whose reward is another; choose a policy of the same task'
        )
    share = {} if options.policy_share is None else {'policy_share': options.policy_share}
    planner = changed(bundle.info.planner, '', share)
    info = bundle.info.model_copy(update={'planner': planner})
    return with_actor(replace(bundle, info=info), actor)


def _actor(folder: Path, spec: RobotSpec, value_weight: float) -> Actor:
    policy = load_policy(folder)
    check_interface(folder, policy.info, spec)
    observed = tuple(range(spec.state_size)) if policy.info.whole_state else spec.input_indices
    critics = trained_critics(folder, policy.info)
    return make_actor(policy, critics, observed, value_weight)


def _earns_the_same(task: str, other: str, spec: RobotSpec, robot: str) -> bool:
    """Whether two tasks are one, or have the same reward: one may be disturbed, and one not."""
    if task == other:
        return True
    tasks = POLICY_TASKS | TASKS | own_tasks(spec, robot)
    rewards = [getattr(tasks.get(name), 'reward', name) for name in (task, other)]
    return bool(rewards[0] == rewards[1])


def describe(bundle: Bundle) -> str:
    """Return what a bundle is made of."""
    info = bundle.info
    text = f'{info.members} models of' if info.members > 1 else 'a model of'
    text += f' {info.algorithm} for {info.task}'
    if info.actor is None:
        return text
    critics = f'and {info.actor.critics} critics' if info.actor.critics else 'without critics'
    return f'{text}, a policy of {info.actor.algorithm} {critics}'


def bundle_folder(name: str) -> Path:
    """Return the folder of a bundle, or of that in a run folder; UserError if there is none."""
    inside = Path(name) / 'bundle'
    return find_bundle(inside if (inside / 'bundle.json').exists() else name)
