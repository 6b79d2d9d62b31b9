# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Put a controller together from a robot, a bundle and settings, without ROS."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle
from mbmrl_ros.bundles.files import bundle_kind, bundle_names, find_bundle, read_json
from mbmrl_ros.bundles.precision import planning_in
from mbmrl_ros.config import UserError, closest
from mbmrl_ros.envs.tasks import Task, load_task
from mbmrl_ros.models.device import choose_device
from mbmrl_ros.nodes.common.settings import ControllerSettings, PlannerSettings
from mbmrl_ros.nodes.controller.policy_brain import build_policy_source
from mbmrl_ros.planners.kinds import changed, make_planner
from mbmrl_ros.rewards.path import Route
from mbmrl_ros.rewards.reward import Reward, along, build_reward, route_of
from mbmrl_ros.robot.action_source import PlanningSource
from mbmrl_ros.robot.adaptive_mpc import AdaptiveMPC, make_mpc
from mbmrl_ros.robot.budget import CandidateBudget, with_candidates
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.episode_driver import EpisodeDriver
from mbmrl_ros.robot.latency import Latency
from mbmrl_ros.robot.policy_driver import PolicyDriver
from mbmrl_ros.robot.prediction_monitor import PredictionMonitor
from mbmrl_ros.robot.random_policy import Collector
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Planner, Transitions

# So many ticks at least, and then until the candidates fit the period, but no longer than this;
# as long at most for trying other numbers.
WARM_UP_TICKS = 3
WARM_UP_S = 3.0


@dataclass(frozen=True)
class Brain:
    """What decides, and the model that it plans in: none where data are collected, or of a policy.

    generator: the random stream of planner or policy. task: whose reward is planned for. route:
    the path that it follows, if any. notice: what the user should know; mostly empty.
    """

    name: str
    bundle: Bundle | None
    source: AdaptiveMPC | Collector | PolicyDriver | EpisodeDriver
    generator: torch.Generator
    task: Task | None = None
    route: Route | None = None
    notice: str = ''


MakeBrain = Callable[[RobotSpec, ControllerSettings, Route | None], Brain]


def build_brain(
    spec: RobotSpec, settings: ControllerSettings, route: Route | None = None
) -> Brain:
    """Load the bundle and make what adapts and plans; UserError if anything does not fit.

    Of a bundle of a policy, that. Where data are collected, a random policy. route: to follow in
    place of the task's.
    """
    if settings.mode == 'collect':
        if settings.shadow:
            raise UserError('shadow mode goes with mode control: there is nothing to predict with')
        generator = torch.Generator().manual_seed(settings.seed)
        return Brain('the random policy', None, Collector(spec, generator), generator)
    name = settings.bundle or default_bundle(spec)
    if bundle_kind(find_bundle(name)) == 'policy':
        return Brain(name, None, *build_policy_source(spec, name, settings))
    if settings.goal:
        raise UserError(f'goal {settings.goal!r} is for policies, and {name} is none; leave it')
    device, notice = choose_device(settings.device)
    bundle = load_bundle(name, spec)
    planner = build_planner(spec, bundle, settings.planner)
    bundle, choice = planning_in(bundle, settings.precision, device)
    adapter = make_adapter(bundle, settings.adaptation, settings.step_size)
    task = load_task(settings.task or bundle.info.task, settings.robot)
    reward, route = task_reward(spec, task, route)
    generator = torch.Generator(device).manual_seed(settings.seed)
    said = '; '.join(filter(None, (notice, choice)))
    mpc = make_mpc(bundle, adapter, planner, reward, generator)
    return Brain(name, bundle, mpc, generator, task, route, said)


def build_controller(spec: RobotSpec, brain: Brain, settings: ControllerSettings) -> Controller:
    """Put the controller around what decides; UserError where shadow mode cannot be."""
    # In lockstep time stands still while a plan is computed: no deadline, constant rates.
    clock: Callable[[], float] = (lambda: 0.0) if settings.lockstep else time.monotonic
    compensated = settings.compensate_latency and not settings.lockstep
    if settings.shadow and not compensated:
        raise UserError('shadow mode goes with compensate_latency and without lockstep')
    latency = Latency(spec) if compensated else None
    return Controller(spec, brain.source, clock, latency, build_monitor(brain, settings))


def build_monitor(brain: Brain, settings: ControllerSettings) -> PredictionMonitor | None:
    """Return what scores the predictions of a model in shadow mode."""
    if brain.bundle is None or not settings.shadow:
        return None
    return PredictionMonitor(brain.bundle.dynamics)


def task_reward(spec: RobotSpec, task: Task, route: Route | None) -> tuple[Reward, Route | None]:
    """Return the reward of a task, and what it follows: the task's own path or the route.

    UserError if there is a route and the task follows none, or the route is no path.
    """
    own = route_of(task.reward)
    if route is None:
        return build_reward(spec, task.reward), own
    if own is None:
        raise UserError(f'path {route!r}: the task {task.name} follows none; leave it empty')
    return build_reward(spec, along(task.reward, route)), route


def build_planner(spec: RobotSpec, bundle: Bundle, changes: PlannerSettings) -> Planner:
    """Return the bundle's planner with the settings that are not zero; UserError if invalid."""
    values = {name: value for name, value in changes.model_dump().items() if value}
    kind = str(values.pop('kind', ''))
    return make_planner(changed(bundle.info.planner, kind, values), spec.action_size)


def build_budget(
    spec: RobotSpec, settings: ControllerSettings, own: int, now: int
) -> CandidateBudget | None:
    """Return what fits the number of candidates to the period, if anything is to.

    Nothing is in lockstep, where time stands still meanwhile. own: the planner's number; now: to
    begin with.
    """
    budget = settings.budget
    if settings.lockstep or not budget.share:
        return None
    goal_s, maximum = budget.share * spec.period_s, budget.max_candidates or own
    return CandidateBudget(goal_s, budget.min_candidates, maximum, now)


def default_bundle(spec: RobotSpec) -> str:
    """Return the shipped bundle of a robot, one that adapts first; UserError if there is none."""
    names = bundle_names()
    heads = {name: read_json(find_bundle(name)) for name in names}
    own = {name: head for name, head in heads.items() if head.get('robot') == spec.name}
    algorithms = {name: head.get('algorithm') for name, head in own.items()}
    if not algorithms:
        raise UserError(f'no shipped bundle is for {spec.name}: set bundle; {closest("", names)}')
    return min(algorithms, key=lambda name: (algorithms[name] != 'grbal', name))


def warm_up(spec: RobotSpec, brain: Brain, controller: Controller | None = None) -> None:
    """Run ticks on zeros, so that no real one is slow, and forget them.

    controller: gets how long each took, after the first ones, until the next one will fit, or
    none does. Then the numbers of candidates that its budget is likely to come to are tried,
    upwards, so that on the robot no tick waits for memory, and none is taken. Not on a GPU, where
    a number that is given up is forgotten.
    """
    stream = brain.generator.get_state()
    budget = controller.budget if controller else None
    end_s, done, count = time.monotonic() + WARM_UP_S, False, 0
    while count < WARM_UP_TICKS or not (done or time.monotonic() > end_s):
        tick_s = _tick_on_zeros(spec, brain)
        count += 1
        if count >= WARM_UP_TICKS:
            fits = controller is None or controller.pace(tick_s)
            done = fits or (budget is not None and budget.overloaded)
    source = brain.source
    on_cpu = brain.generator.device.type == 'cpu'
    if isinstance(source, PlanningSource) and budget and on_cpu:
        fitting = source.planner
        end_s = time.monotonic() + WARM_UP_S
        for candidates in budget.rehearsal:
            if time.monotonic() > end_s:
                break
            source.use_planner(with_candidates(fitting, candidates))
            _tick_on_zeros(spec, brain)
        source.use_planner(fitting)
    brain.source.reset()
    brain.generator.set_state(stream)


def _tick_on_zeros(spec: RobotSpec, brain: Brain) -> float:
    """Return how long it took."""
    size = brain.source.window_size
    window = Transitions(
        torch.zeros(1, size, spec.state_size),
        torch.zeros(1, size, spec.action_size),
        torch.zeros(1, size, spec.state_size),
    )
    started_s = time.monotonic()
    brain.source.act(window, torch.ones(1, dtype=torch.bool), torch.zeros(1, spec.state_size))
    return time.monotonic() - started_s
