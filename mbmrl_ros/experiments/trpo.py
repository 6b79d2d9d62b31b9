# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TRPO over a task's distribution, model-free: sb3-contrib's on the gymnasium environments.

An iteration of the recipe is one update of the policy, with a KL constraint of 0.05
(thesis, Table 6). Tuned: observations and rewards are standardised and the rest is what RL Zoo has
for TRPO on MuJoCo's half-cheetah. Otherwise nothing is standardised and the rest is what
sb3-contrib has by itself: the thesis names neither.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save_file
from torch import Tensor
from tqdm import tqdm

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.tasks import Task
from mbmrl_ros.robot.history import History
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.system.outputs import replacing
from mbmrl_ros.training.dynamics.collect import ActFn
from mbmrl_ros.training.dynamics.fit_model import make_generator
from mbmrl_ros.training.dynamics.settings import ModelBasedConfig
from mbmrl_ros.training.run import Run, optimiser_tensors, restore_optimiser

KL, DISCOUNT = 0.05, 0.99
TUNED: dict[str, Any] = {'cg_max_steps': 25, 'learning_rate': 1e-3, 'n_critic_updates': 20}
STATISTICS = ('obs_rms', 'ret_rms')


def train_trpo(
    task: Task, config: ModelBasedConfig, run: Run, seed: int, tuned: bool = True
) -> None:
    """Train, or go on with what the run folder holds; a policy per iteration."""
    model = _model(task, config, seed, tuned)
    done, tensors = run.load_checkpoint()
    if done:
        _restore(model, tensors)
    per_iteration = config.rollouts * config.rollout_steps
    (run.folder / 'policies').mkdir(exist_ok=True)
    for iteration in range(done + 1, config.iterations + 1):
        started = time.monotonic()
        with _seeded(make_generator(seed, iteration, 'collect').initial_seed()) as drawn:
            model.env.seed(drawn)
            model.learn(per_iteration)
        returns = [episode['r'] for episode in model.ep_info_buffer]
        metrics = {
            'environment_steps': float(iteration * per_iteration),
            'return_mean': float(np.mean(returns)),
            'return_std': float(np.std(returns)),
            'ended_early': float(
                sum(episode['l'] < config.rollout_steps for episode in model.ep_info_buffer)
            ),
            'collect_s': time.monotonic() - started,
            'fit_s': 0.0,
        }
        tensors = _tensors(model)
        _save(_file(run.folder, iteration), tensors)
        run.log(iteration, metrics)
        run.save_checkpoint(iteration, tensors | optimiser_tensors(model.policy.optimizer))
        tqdm.write(f'iteration {iteration}: return {metrics["return_mean"]:.0f}')
    model.env.close()


def load_policy(
    folder: Path, task: Task, config: ModelBasedConfig, iteration: int | None, tuned: bool = True
) -> ActFn:
    """Return what drives robots by the policy of an iteration (None: the last): its mean."""
    model = _model(task, config.model_copy(update={'rollouts': 1}), 0, tuned)
    inputs = list(load_robot(task.robot).input_indices)
    _restore(model, load(_file(folder, iteration or config.iterations).read_bytes()))

    def act(histories: Sequence[History], states: Tensor) -> Tensor:
        observations = model.env.normalize_obs(states[:, inputs].numpy())
        actions, _ = model.predict(observations, deterministic=True)
        return torch.from_numpy(actions)

    return act


def _file(folder: Path, iteration: int) -> Path:
    return folder / 'policies' / f'{iteration:04d}.safetensors'


def _model(task: Task, config: ModelBasedConfig, seed: int, tuned: bool) -> Any:
    try:
        from sb3_contrib import TRPO
        from stable_baselines3.common.env_util import make_vec_env
        from stable_baselines3.common.vec_env import VecNormalize

        from mbmrl_ros.envs.gym import environment_id
    except ImportError as error:
        raise UserError(f"{error}: TRPO needs pip install 'mbmrl_ros[baselines]'") from error
    with _seeded(seed):
        envs = make_vec_env(
            f'mbmrl_ros.envs.gym:{environment_id(task.name)}',
            config.rollouts,
            env_kwargs={
                'inputs_only': True,
                'max_episode_steps': config.rollout_steps,
            },
        )
        return TRPO(
            'MlpPolicy',
            VecNormalize(envs, norm_obs=tuned, norm_reward=tuned, gamma=DISCOUNT),
            n_steps=config.rollout_steps,
            gamma=DISCOUNT,
            target_kl=KL,
            stats_window_size=config.rollouts,
            device='cpu',
            batch_size=min(128, config.rollouts * config.rollout_steps),
            **(TUNED if tuned else {}),
        )


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[int]:
    """Seed what the library draws from, which takes no generators; leave it as it was."""
    state = np.random.get_state()
    seed %= 2**32
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed)
            yield seed
    finally:
        np.random.set_state(state)


def _tensors(model: Any) -> dict[str, Tensor]:
    """Return policy, value function and the statistics of observations and returns."""
    tensors = {f'policy/{k}': v.detach().clone() for k, v in model.policy.state_dict().items()}
    for name, statistics in _statistics(model).items():
        for part in ('mean', 'var', 'count'):
            tensors[f'{name}/{part}'] = torch.tensor(np.asarray(getattr(statistics, part)))
    return tensors


def _statistics(model: Any) -> dict[str, Any]:
    """Return what observations and returns are standardised by, where they are."""
    return {name: getattr(model.env, name) for name in STATISTICS if hasattr(model.env, name)}


def _restore(model: Any, tensors: dict[str, Tensor]) -> None:
    prefix = 'policy/'
    policy = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    model.policy.load_state_dict(policy)
    restore_optimiser(model.policy.optimizer, tensors)
    for name, statistics in _statistics(model).items():
        statistics.mean = tensors[f'{name}/mean'].numpy()
        statistics.var = tensors[f'{name}/var'].numpy()
        statistics.count = float(tensors[f'{name}/count'])


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a policy, whole or not at all."""
    with replacing(path) as temporary:
        save_file({name: value.contiguous() for name, value in tensors.items()}, temporary)
