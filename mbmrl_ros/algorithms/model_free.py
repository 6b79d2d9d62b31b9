# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Model-free baselines on the same tasks: SAC, PPO and TRPO of stable-baselines3 and sb3-contrib.

Their settings are those of the libraries, where nothing else is said. A run that was stopped
begins anew: the libraries keep no random state. Bundles drive by the mean action; the noise of SAC
is not in them, whose deviations are bounded in another way than policies/squashed.py does.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from pydantic import Field
from tqdm import tqdm

from mbmrl_ros.bundles.policy import PolicyBundle, save_policy
from mbmrl_ros.config import Positive, UserError, Width
from mbmrl_ros.envs.meta_task import MetaTask
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task_env import SamplingConfig
from mbmrl_ros.policies import squashed
from mbmrl_ros.training.algorithm import Algorithm
from mbmrl_ros.training.policy_run import policy_info
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.timed_env import TimedEnv
from mbmrl_ros.types import Params


class ModelFreeConfig(SamplingConfig):
    """Settings of the baselines."""

    action_scale: Positive | None = Field(1.0, description='the action that stands for the limit')
    iterations: int = Field(100, ge=1, description='rows of metrics.csv')
    steps: int = Field(10_000, ge=1, description='real steps of an iteration')
    horizon: int | None = Field(None, ge=1, description="of an episode; default: the task's")
    hidden_sizes: tuple[Width, ...] | None = Field(
        None, description="layers of policy and critics; default: the library's"
    )
    learning_rate: Positive | None = Field(None, description="Adam; default: the library's")


class Baseline(NamedTuple):
    """A row: the library's module and class, its default layers, how its policy is taken over."""

    summary: str
    module: str
    layers: tuple[int, ...]
    params: Callable[[Any], Params]


def of_gaussian(policy: Any) -> Params:
    """Return the parameters of a policy of PPO or TRPO (policies/gaussian.py)."""
    layers = [*_linear(policy.mlp_extractor.policy_net), policy.action_net]
    return _numbered(layers) | {'log_std': policy.log_std}


def of_squashed(policy: Any) -> Params:
    """Return the parameters of the mean of SAC's policy (policies/squashed.py)."""
    actor = policy.actor
    params = _numbered([*_linear(actor.latent_pi), actor.mu])
    last = (len(params) // 2) - 1
    for name in (f'weight{last}', f'bias{last}'):
        params[name] = torch.cat([params[name], torch.zeros_like(params[name])])
    inputs = params['weight0'].shape[1]
    return params | {'scale': torch.ones(inputs), 'shift': torch.zeros(inputs)}


def _linear(layers: Any) -> list[Any]:
    return [layer for layer in layers if isinstance(layer, torch.nn.Linear)]


def _numbered(layers: list[Any]) -> Params:
    named = ((f'weight{i}', f'bias{i}', layer) for i, layer in enumerate(layers))
    return {k: v for w, b, layer in named for k, v in ((w, layer.weight), (b, layer.bias))}


BASELINES = {
    'sac': Baseline('SAC, model-free', 'stable_baselines3.SAC', (256, 256), of_squashed),
    'ppo': Baseline('PPO, model-free', 'stable_baselines3.PPO', (64, 64), of_gaussian),
    'trpo': Baseline('TRPO, model-free', 'sb3_contrib.TRPO', (64, 64), of_gaussian),
}


def train(name: str, task: MetaTask, config: ModelFreeConfig, run: Run, seed: int) -> PolicyBundle:
    """Train from the start; return the last bundle."""
    if task.goals.names:
        raise UserError(f'{task.name} has goals, which a baseline is not told of')
    if config.normalize_observations or config.normalize_rewards or config.action_scale != 1.0:
        raise UserError('the baselines take observations, rewards and actions as they are')
    task = replace(task, horizon=config.horizon or task.horizon)
    row = BASELINES[name]
    model = _model(name, task, config, seed)
    bundle = None
    with contextlib.closing(TimedEnv(task, 1, 1, config, threads=1)) as env:
        layers = config.hidden_sizes or row.layers
        info = policy_info(
            name,
            task,
            env,
            config,
            observation_size=env.observation_size,
            hidden_sizes=layers,
            squashed=name == 'sac',
            min_std=math.exp(squashed.MIN_LOG_STD) if name == 'sac' else 1e-6,
        )
        for iteration in range(1, config.iterations + 1):
            started = time.perf_counter()
            model.learn(config.steps, reset_num_timesteps=iteration == 1)
            learned_s = time.perf_counter() - started
            returned = [episode['r'] for episode in model.ep_info_buffer]
            metrics = {
                'environment_steps': float(model.num_timesteps),
                'return_mean': sum(returned) / len(returned) if returned else math.nan,
                'return_policy': _shown(model, env, iteration),
                'iteration_s': learned_s,
            }
            run.log(iteration, metrics, step=model.num_timesteps)
            known = {k: v for k, v in metrics.items() if v == v}
            update = {'iteration': iteration, 'metrics': known}
            params = {
                f'params/{k}': v.detach().clone() for k, v in row.params(model.policy).items()
            }
            bundle = PolicyBundle(info.model_copy(update=update), params)
            save_policy(run.publish(iteration), bundle)
            tqdm.write(f'iteration {iteration}/{config.iterations}: {_line(metrics)}')
    assert bundle is not None
    save_policy(run.folder / 'bundle', bundle)
    return bundle


def _line(metrics: dict[str, float]) -> str:
    return (
        f'return {metrics["return_mean"]:.1f}, {metrics["return_policy"]:.1f} by means, '
        f'{metrics["environment_steps"]:.0f} steps, {metrics["iteration_s"]:.1f} s'
    )


def _shown(model: Any, env: TimedEnv, seed: int) -> float:
    """Return the return of an episode by mean actions, which teaches nothing."""
    generator, total = torch.Generator().manual_seed(seed), 0.0
    observations = env.reset(torch.zeros(1, 0), generator)
    for _ in range(env.horizon):
        action, _ = model.predict(observations[0, 0].numpy(), deterministic=True)
        observations, reward, done = env.step(torch.from_numpy(action)[None, None])
        total += float(reward.nan_to_num(0.0))
        if bool(done):
            break
    return total


def _model(name: str, task: MetaTask, config: ModelFreeConfig, seed: int) -> Any:
    """Return the library's algorithm on gymnasium's environment of a task."""
    module, _, kind = BASELINES[name].module.partition('.')
    try:
        from stable_baselines3.common.monitor import Monitor

        from mbmrl_ros.envs.gym import make

        library: Any = getattr(__import__(module), kind)
    except ImportError as error:
        raise UserError(f"{error}: {name} needs pip install 'mbmrl_ros[baselines]'") from error
    env = make(task.name, task.horizon, inputs_only=not config.whole_state)
    options: dict[str, Any] = {}
    if config.hidden_sizes:
        options['policy_kwargs'] = {'net_arch': list(config.hidden_sizes)}
    if config.learning_rate:
        options['learning_rate'] = config.learning_rate
    return library('MlpPolicy', Monitor(env), seed=seed, device='cpu', **options)


MODEL_FREE = tuple(
    Algorithm(name, row.summary, ModelFreeConfig, partial(train, name), load_meta_task)
    for name, row in BASELINES.items()
)
