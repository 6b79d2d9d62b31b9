# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What of the settings is for a policy, and where its inner steps are computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from mbmrl_ros.algorithms.policy_source import DriveSettings, make_policy_source
from mbmrl_ros.bundles.files import check_interface, find_bundle
from mbmrl_ros.bundles.policy import load_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.nodes.common.priority import yield_to_messages
from mbmrl_ros.nodes.common.settings import ControllerSettings, PlannerSettings
from mbmrl_ros.robot.policy_driver import PolicyDriver
from mbmrl_ros.robot.policy_learners import Start
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Adapted


def build_policy_source(
    spec: RobotSpec, name: str, settings: ControllerSettings
) -> tuple[PolicyDriver, torch.Generator]:
    """Load a bundle of a policy, and make what drives; UserError if anything does not fit."""
    check_for_policy(settings)
    folder = find_bundle(name)
    bundle = load_policy(folder)
    check_interface(folder, bundle.info, spec)
    task = load_meta_task(settings.task or bundle.info.task, settings.robot)
    drive = DriveSettings(settings.goal, settings.exploration, settings.seed)
    # In lockstep time stands still meanwhile, and the same run has the same result.
    start = at_once if settings.lockstep else in_a_thread()
    return make_policy_source(spec, bundle, task, drive, start)


def check_for_policy(settings: ControllerSettings) -> None:
    """UserError if something is set that only a model and its planner have."""
    given = {
        'shadow': settings.shadow and 'it scores predictions, and a policy makes none',
        'adaptation': settings.adaptation != 'auto' and 'a policy adapts as it was trained to',
        'device': settings.device == 'cuda' and 'a policy is computed on the CPU',
    }
    for name, reason in given.items():
        if reason:
            raise UserError(f'{name} is not for a policy: {reason}; leave {name} as it is')
    check_run_time(settings)


def check_run_time(settings: ControllerSettings) -> None:
    """UserError if something is set that a planner would use from the next tick on."""
    given = {'planner': settings.planner != PlannerSettings(), 'path': bool(settings.path)}
    for name, is_given in given.items():
        if is_given:
            raise UserError(f'{name} is not for a policy, which plans nothing; leave it as it is')


def at_once(compute: Callable[[], Adapted]) -> Future[Adapted]:
    """Compute something here and now."""
    future: Future[Adapted] = Future()
    try:
        future.set_result(compute())
    except Exception as error:  # belongs to whoever asks for the result
        future.set_exception(error)
    return future


def in_a_thread() -> Start:
    """Return what computes in a thread of its own, which control does not wait for.

    It has one thread of torch: more would be in the way of the one that ticks.
    """

    def begin() -> None:
        yield_to_messages()
        torch.set_num_threads(1)

    return ThreadPoolExecutor(1, 'adaptation', begin).submit
