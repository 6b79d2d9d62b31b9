# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All tasks as environments of gymnasium, for libraries that speak it.

Importing this module registers them: a task `robot/name` is `mbmrl/robot-name-v0`. gymnasium has
no plug-ins any more, but imports a module that stands before the name:
`gymnasium.make('mbmrl_ros.envs.gym:mbmrl/half_cheetah-slopes-v0', setting='hill')`.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.drawing import MODES, Drawing, Picture
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.one_robot import OneRobot
from mbmrl_ros.envs.settings import TRAINING, check_setting, draw_schedule
from mbmrl_ros.envs.task import Task
from mbmrl_ros.envs.task_env import check_goals
from mbmrl_ros.envs.tasks import POLICY_TASKS, TASKS, load_task
from mbmrl_ros.rewards.reward import build_done, build_reward, never_done, total
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Array

NAMESPACE = 'mbmrl'
VECTOR = 'mbmrl_ros.envs.vector:VectorTaskEnv'

Observation = NDArray[np.float32]


class TaskEnv(gymnasium.Env[Observation, Observation]):
    """One robot and its task: states out, actions in -1..1 in, the planner's own reward.

    An episode ends where the task's `done` says so, and where the physics are no longer finite,
    in a step that earns nothing, as in `mbmrl evaluate`; `gymnasium.make` truncates it after the
    task's steps.

    plan: states [H+1, S] that are drawn as a line, for whoever plans; None: no line.
    """

    metadata = {'render_modes': list(MODES), 'render_fps': 25}  # noqa: RUF012

    def __init__(
        self,
        task: str,
        setting: str = TRAINING,
        robot: str = '',
        inputs_only: bool = False,
        render_mode: str | None = None,
    ) -> None:
        """task, robot: as for `mbmrl train`. setting: `training`, or a test of the task.

        inputs_only: observe what networks are fed only, without absolute positions. render_mode:
        'rgb_array' (no display needed), 'human' (a window), or None. UserError if there is no
        such task, setting or mode, and what to install where nothing can be drawn.
        """
        self.task = load_task(task, robot)
        self.robot = load_robot(self.task.robot)
        self.setting = check_setting(self.task, setting)
        self._reward = build_reward(self.robot, self.task.reward)
        self._ends, self._done = bool(self.task.done), build_done(self.robot, self.task.done)
        self._one = OneRobot(self.robot)
        channels = range(self.robot.state_size)
        self._observed = np.array(self.robot.input_indices if inputs_only else channels)
        self._state = np.zeros(self.robot.state_size, np.float32)
        self.plan: Array | None = None
        self.metadata = self.metadata | {'render_fps': round(1 / self.robot.period_s)}
        self.render_mode = render_mode
        self._drawing = (
            None if render_mode is None else Drawing(self.robot, self.task, render_mode)
        )
        self.observation_space = Box(-np.inf, np.inf, (len(self._observed),), np.float32)
        self.action_space = Box(-1.0, 1.0, (self.robot.action_size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a start state and, in training, what will happen; options: another `setting`."""
        super().reset(seed=seed)
        setting = check_setting(self.task, (options or {}).get('setting', self.setting))
        schedule = draw_schedule(self.task, setting, self.np_random)
        self._state = self._one.reset(self.np_random, schedule)
        self.plan = None
        self._show()
        return self._observation(), self._info()

    def step(self, action: Observation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Let a control period pass; info: terms of the reward, and what is wrong at present."""
        applied = np.minimum(np.maximum(action, -1.0), 1.0).astype(np.float32)
        before = torch.from_numpy(self._state)
        self._state = self._one.step(applied.astype(np.float64))
        after = torch.from_numpy(self._state)
        with torch.inference_mode():
            terms = self._reward.terms(before, torch.from_numpy(applied), after)
            reward = float(total(terms))
            ended = self._ends and bool(self._done(after))
        failed = not self._one.healthy
        info = self._info() | {
            'reward_terms': {name: 0.0 if failed else float(v) for name, v in terms.items()}
        }
        self._show()
        return self._observation(), 0.0 if failed else reward, failed or ended, False, info

    def render(self) -> Picture | None:
        """Return a picture [360, 480, 3] in mode 'rgb_array'; None in the others."""
        if self.render_mode != 'rgb_array':
            return None
        return self._draw()

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._drawing is not None:
            self._drawing.close()
            self._drawing = None

    def _show(self) -> None:
        if self.render_mode == 'human':
            self._draw()

    def _draw(self) -> Picture | None:
        if self._drawing is None:
            raise UserError('this environment was closed; make another one')
        return self._drawing.draw(self._one.positions, self._one.disturbances, self.plan)

    def _observation(self) -> Observation:
        return np.asarray(self._state[self._observed])

    def _info(self) -> dict[str, Any]:
        """Return what is wrong in the period that begins, or that was just stepped through."""
        return {'disturbances': [str(d) for d in self._one.disturbances]}


def make(
    task: str, horizon: int | None = None, **options: Any
) -> gymnasium.Env[Observation, Observation]:
    """Return an environment that ends after the task's steps.

    task: as `mbmrl tasks` lists it. horizon: another number of steps. options: of TaskEnv, such as
    setting='mid_run', render_mode='rgb_array', robot='my_robot.yaml'; for a task of policies, of
    GoalTaskEnv.
    """
    env = (GoalTaskEnv if task in POLICY_TASKS else TaskEnv)(task, **options)
    steps = env.task.episode_steps if isinstance(env.task, Task) else env.task.horizon
    return gymnasium.wrappers.TimeLimit(env, horizon or steps)


class GoalTaskEnv(gymnasium.Env[Observation, Observation]):
    """One robot of a task with goals: observations of policies out, actions in -1..1 in.

    A reset draws a goal, which `info` tells and observations do not. An episode ends where the
    task's `done` says so, or where something is not finite, in a step that earns nothing.
    """

    metadata = {'render_modes': []}  # noqa: RUF012

    def __init__(
        self, task: str, setting: str = TRAINING, robot: str = '', inputs_only: bool = True
    ) -> None:
        """setting: where goals are drawn, `training` or `held_out`; else as TaskEnv.

        UserError if there is no such task or setting.
        """
        self.task = load_meta_task(task, robot)
        self._draw = self.task.goals.of(setting)
        self._ends = self.task.done is not never_done
        self._system = self.task.system(1, 1, 1)
        channels = range(self._system.state_size)
        self._observed = np.array(self._system.observed if inputs_only else channels)
        self._goal, self._state = torch.zeros(1, 0), torch.zeros(1, len(channels))
        self._moving = np.ones(1, bool)
        self.observation_space = Box(-np.inf, np.inf, self._observed.shape, np.float32)
        self.action_space = Box(-1.0, 1.0, (self._system.action_size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a goal and a start state; options: another `setting`, or the `goal` itself [G]."""
        super().reset(seed=seed)
        options = options or {}
        generator = torch.Generator().manual_seed(int(self.np_random.integers(2**62)))
        draw = self.task.goals.of(options['setting']) if 'setting' in options else self._draw
        goal = draw(generator, 1)
        if 'goal' in options:
            goal = torch.as_tensor(options['goal'], dtype=torch.float32).reshape(1, -1)
        check_goals(self.task, goal, 1)
        self._goal, self._moving = goal.double(), np.ones(1, bool)
        self._state = self._system.reset(goal, generator)
        return self._observation(), {'goal': goal[0].numpy()}

    def step(self, action: Observation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Let a control period pass."""
        wanted = np.asarray(action, np.float32).astype(np.float64).reshape(1, -1)
        taken = torch.from_numpy(np.minimum(np.maximum(wanted, -1.0), 1.0))
        before = self._state
        # As MetaTaskEnv, without masks.
        with torch.inference_mode():
            self._state, sound = self._system.step(taken, self._moving)
            earned = float(self.task.reward(before, taken, self._state, self._goal))
            ended = self._ends and bool(self.task.done(self._state))
        moved = bool(sound) and math.isfinite(earned)
        done = ended or not moved
        self._moving = np.array([not done])
        return self._observation(), float(np.float32(earned)) if moved else 0.0, done, False, {}

    def close(self) -> None:
        """Stop the threads of the physics."""
        self._system.close()

    def _observation(self) -> Observation:
        return np.asarray(self._state.numpy()[0, self._observed], np.float32)


def environment_id(task: str) -> str:
    """Return the name of a task's environment: gymnasium's names have one slash."""
    return f'{NAMESPACE}/{task.replace("/", "-")}-v0'


def _register() -> None:
    for name, task in (TASKS | POLICY_TASKS).items():
        steps = task.episode_steps if isinstance(task, Task) else task.horizon
        gymnasium.register(
            id=environment_id(name),
            entry_point=f'{__name__}:{"GoalTaskEnv" if name in POLICY_TASKS else "TaskEnv"}',
            vector_entry_point=None if name in POLICY_TASKS else VECTOR,
            max_episode_steps=steps,
            kwargs={'task': name},
        )


_register()
