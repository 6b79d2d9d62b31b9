# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All tasks as environments of gymnasium, for libraries that speak it.

Importing this module registers them: a task `robot/name` is `mbmrl/robot-name-v0`. gymnasium has
no plug-ins any more, but imports a module that stands before the name:
`gymnasium.make('mbmrl_ros.envs.gym:mbmrl/half_cheetah-slopes-v0', setting='hill')`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray

from mbmrl_ros.envs.meta_tasks import META_TASKS, load_meta_task
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.task import Task
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig
from mbmrl_ros.envs.tasks import TASKS, load_task
from mbmrl_ros.rewards.reward import build_done, build_reward
from mbmrl_ros.sim.disturbances import Schedule, active
from mbmrl_ros.spec.robot import load_robot

NAMESPACE = 'mbmrl'
TRAINING = 'training'

Observation = NDArray[np.float32]


class TaskEnv(gymnasium.Env[Observation, Observation]):
    """One robot and its task: states out, actions in -1..1 in, the planner's own reward.

    An episode ends where the task's `done` says so, and where the physics are no longer finite,
    in a step that earns nothing, as in `mbmrl evaluate`; `gymnasium.make` truncates it after the
    task's steps.
    """

    metadata = {'render_modes': []}  # noqa: RUF012

    def __init__(
        self, task: str, setting: str = TRAINING, robot: str = '', inputs_only: bool = False
    ) -> None:
        """task, robot: as for `mbmrl train`. setting: `training`, or a test of the task.

        inputs_only: observe what networks are fed only, without absolute positions. UserError if
        there is no such task or setting.
        """
        self.task = load_task(task, robot)
        self.robot = load_robot(self.task.robot)
        self.setting = self._checked(setting)
        self._reward = build_reward(self.robot, self.task.reward)
        self._done = build_done(self.robot, self.task.done)
        self._robots = RobotEnv(self.robot, batch=1, threads=1)
        channels = range(self.robot.state_size)
        self._observed = list(self.robot.input_indices if inputs_only else channels)
        self._state = torch.zeros(1, self.robot.state_size)
        self._schedule: Schedule = ()
        self._step = 0
        self.observation_space = Box(-np.inf, np.inf, (len(self._observed),), np.float32)
        self.action_space = Box(-1.0, 1.0, (self.robot.action_size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a start state and, in training, what will happen; options: another `setting`."""
        super().reset(seed=seed)
        setting = self._checked((options or {}).get('setting', self.setting))
        steps = self.task.episode_steps
        self._schedule = (
            self.task.training(self.np_random, steps)
            if setting == TRAINING
            else self.task.test(setting)(steps)
        )
        self._state, self._step = self._robots.reset(self.np_random, [self._schedule]), 0
        return self._observation(), self._info()

    def step(self, action: Observation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Let a control period pass; info: terms of the reward, and what is wrong at present."""
        actions = torch.as_tensor(np.clip(action, -1.0, 1.0), dtype=torch.float32)[None]
        before, self._state = self._state, self._robots.step(actions)
        terms = self._reward.terms(before, actions, self._state)
        reward = float(self._reward(before, actions, self._state))
        failed = not bool(self._robots.healthy)
        info = self._info() | {
            'reward_terms': {name: 0.0 if failed else float(v) for name, v in terms.items()}
        }
        self._step += 1
        ended = failed or bool(self._done(self._state))
        return self._observation(), 0.0 if failed else reward, ended, False, info

    def close(self) -> None:
        """Stop the threads of the physics."""
        self._robots.close()

    def _observation(self) -> Observation:
        return self._state[0, self._observed].numpy()

    def _info(self) -> dict[str, Any]:
        """Return what is wrong in the period that begins, or that was just stepped through."""
        return {'disturbances': [str(d) for d in active(self._schedule, self._step)]}

    def _checked(self, setting: str) -> str:
        if setting != TRAINING:
            self.task.test(setting)
        return setting


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
        config = SamplingConfig(action_scale=1.0, whole_state=not inputs_only)
        self._robots = MetaTaskEnv(self.task, 1, 1, config, threads=1)
        seen, driven = self._robots.observation_size, self._robots.action_size
        self.observation_space = Box(-np.inf, np.inf, (seen,), np.float32)
        self.action_space = Box(-1.0, 1.0, (driven,), np.float32)

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
        observations = self._robots.reset(goal, generator)
        return observations[0, 0].numpy(), {'goal': goal[0].numpy()}

    def step(self, action: Observation) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Let a control period pass."""
        actions = torch.as_tensor(action, dtype=torch.float32).reshape(1, 1, -1)
        observations, rewards, done = self._robots.step(actions)
        reward = float(rewards.nan_to_num(0.0))
        return observations[0, 0].numpy(), reward, bool(done), False, {}

    def close(self) -> None:
        """Stop the threads of the physics."""
        self._robots.close()


def environment_id(task: str) -> str:
    """Return the name of a task's environment: gymnasium's names have one slash."""
    return f'{NAMESPACE}/{task.replace("/", "-")}-v0'


def _register() -> None:
    for name, task in (TASKS | META_TASKS).items():
        steps = task.episode_steps if isinstance(task, Task) else task.horizon
        gymnasium.register(
            id=environment_id(name),
            entry_point=f'{__name__}:{"GoalTaskEnv" if name in META_TASKS else "TaskEnv"}',
            max_episode_steps=steps,
            kwargs={'task': name},
        )


_register()
