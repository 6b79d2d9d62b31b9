# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A trained bundle in a script: adapt it, predict, plan, act. Numbers in and out are numpy's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import load_bundle, read_info
from mbmrl_ros.bundles.files import find_bundle
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.planners.kinds import changed, make_planner
from mbmrl_ros.planners.rollout import imagine
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.robot.adaptive_mpc import adaptive_model, make_mpc
from mbmrl_ros.robot.history import History, stack_windows
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Adapted, Root, Transitions

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Adaptation:
    """How well a window was explained, before and after adapting to it.

    loss_before, loss_after: mean squared error of normalised changes of the state (thesis,
    equation 23). accepted: whether the model changed, as it does not where it would get worse.
    """

    loss_before: float
    loss_after: float
    accepted: bool


@dataclass(frozen=True)
class Planned:
    """What a planner proposes: actions [H, A] in -1..1, the states [H+1, S] that the model expects
    of them, the present one first, and their return.
    """

    actions: Numbers
    states: Numbers
    expected_return: float


class Agent:
    """A model that adapts, and a planner, for one robot. States are in the robot file's units.

    There is no safety filter here: it belongs to the nodes that drive a robot.
    """

    def __init__(
        self,
        bundle: str | Path,
        task: str = '',
        robot: str = '',
        adaptation: str = 'auto',
        seed: int = 0,
        **planner: Any,
    ) -> None:
        """bundle: folder, or name of a shipped one. task: whose reward; default: the bundle's.

        robot: its file, where that is not a shipped one. adaptation: auto, none, grbal, rebal or
        dynamic_evaluation. planner: changes such as candidates=500, horizon=10. UserError if one
        of them is wrong.
        """
        self.task = load_task(task or read_info(find_bundle(bundle)).task, robot)
        self.robot = load_robot(self.task.robot)
        self._bundle = load_bundle(bundle, self.robot)
        config = changed(self._bundle.info.planner, str(planner.pop('kind', '')), planner)
        self._planner = make_planner(config, self.robot.action_size)
        self._adapter = make_adapter(self._bundle, adaptation)
        self._planned_in = adaptive_model(self._bundle, self._adapter)
        self._reward = build_reward(self.robot, self.task.reward)
        self._generator = torch.Generator().manual_seed(seed)
        self._mpc = make_mpc(
            self._bundle, self._adapter, self._planner, self._reward, self._generator
        )
        self.reset()

    @property
    def window(self) -> int:
        """M: how many transitions the model adapts to."""
        return self._bundle.info.past_steps

    def reset(self) -> None:
        """Forget the past: the model is as it was trained, and the next plan has no warm start."""
        size, period_s = (self.robot.state_size, self.robot.action_size), self.robot.period_s
        self._history = History(self.window, period_s, *size)
        self._steps, self._acted = 0, False
        self._mpc.reset()
        self._memory = self._adapter.initial(1)
        nothing = torch.full((1,), torch.nan)
        never = torch.zeros(1, dtype=torch.bool)
        self._model = Adapted(self._bundle.params, nothing, nothing, never, never)

    def act(self, state: ArrayLike, applied: ArrayLike | None = None) -> Numbers:
        """Return the action [A] in -1..1 for a state [S]: a tick of Algorithm 10 of the thesis.

        applied: what was really done since the last call; default: what that returned. Adapts as
        soon as `window` transitions are known.
        """
        if applied is not None and self._acted:
            self._history.applied(self._checked(applied, self.robot.action_size))
        row = self._checked(state, self.robot.state_size)
        self._history.observe(self._steps * self.robot.period_s, row)
        window, attempted = stack_windows([self._history])
        decision = self._mpc.act(window, attempted, torch.from_numpy(row).float()[None])
        if not bool(decision.valid[0]):
            raise ValueError('no imagined rollout was finite: is the state?')
        self._model = decision.adapted or self._model
        action = decision.action[0].numpy()
        self._history.applied(action)
        self._steps, self._acted = self._steps + 1, True
        return action.astype(np.float32)

    def adapt(self, states: ArrayLike, actions: ArrayLike) -> Adaptation:
        """Adapt to transitions: states [M+1, S], and the actions [M, A] in -1..1 between them.

        Longer ones count with their last M = `window`. `predict` and `plan` then use the result.
        """
        s, a = self._steps_of(states, actions)
        if len(a) < self.window:
            raise ValueError(f'the model adapts to {self.window} transitions, got {len(a)}')
        s, a = s[-self.window - 1 :], a[-self.window :]
        window = Transitions(s[None, :-1], a[None], s[None, 1:])
        self._memory, self._model = self._adapter.adapt(
            self._memory, window, torch.ones(1, dtype=torch.bool)
        )
        model = self._model
        losses = float(model.loss_before), float(model.loss_after)
        return Adaptation(*losses, bool(model.accepted.any()))

    def predict(self, state: ArrayLike, actions: ArrayLike) -> Numbers:
        """Return states [H+1, S] that the model expects of actions [H, A], the given one first."""
        start = torch.from_numpy(self._checked(state, self.robot.state_size)).float()
        _, a = self._steps_of(None, actions)
        return self._imagine(start[None], a[None, None])

    def plan(self, state: ArrayLike) -> Planned:
        """Plan from a state [S] with the model as it is; remembers nothing."""
        start = torch.from_numpy(self._checked(state, self.robot.state_size)).float()[None]
        step = self._bundle.dynamics.planning_step(self._model.params)
        with torch.no_grad():
            _, plan = self._planner.plan(
                self._generator,
                self._planner.initial(1),
                self._planned_in.problem(step, self._reward),
                Root(self._model.carry, start),
            )
        if not bool(plan.valid[0]):
            raise ValueError('no imagined rollout was finite: is the state?')
        states = self._imagine(start, plan.actions[:, None])
        return Planned(plan.actions[0].numpy(), states, float(plan.expected_return))

    @torch.no_grad()
    def _imagine(self, start: Tensor, actions: Tensor) -> Numbers:
        """start: [1, S]; actions: [1, 1, H, A]."""
        params = self._model.params

        def step(carry: Any, state: Tensor, action: Tensor) -> tuple[Any, Tensor]:
            return self._bundle.dynamics.step(params, carry, state, action)

        return imagine(step, Root(self._model.carry, start), actions)[0, 0].numpy()

    def _steps_of(self, states: ArrayLike | None, actions: ArrayLike) -> tuple[Tensor, Tensor]:
        """Return states [T+1, S] and actions [T, A] as tensors; ValueError if they do not fit."""
        a = self._checked(actions, self.robot.action_size, rows=True)
        s = np.zeros((len(a) + 1, self.robot.state_size))
        if states is not None:
            s = self._checked(states, self.robot.state_size, rows=True)
        if len(s) != len(a) + 1:
            raise ValueError(f'{len(a)} actions are between {len(a) + 1} states, got {len(s)}')
        return torch.from_numpy(s).float(), torch.from_numpy(a).float()

    def _checked(self, values: ArrayLike, size: int, rows: bool = False) -> NDArray[np.float64]:
        array = np.array(values, np.float64)
        if array.shape[-1:] != (size,) or array.ndim != 1 + rows:
            wanted = f'[T, {size}]' if rows else f'[{size}]'
            raise ValueError(f'{self.robot.name}: wanted {wanted}, got {list(array.shape)}')
        return array


def load(bundle: str | Path, **options: Any) -> Agent:
    """Return an agent of a trained bundle: a folder, or the name of a shipped one.

    options: of Agent, such as task, adaptation='none', seed, candidates=500.
    """
    return Agent(bundle, **options)
