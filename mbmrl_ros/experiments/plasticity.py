# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where models differ, and where the policies of MB-MPO adapt most (thesis, Fig. 11).

A gradient step moves a policy somewhere whatever it adapts to: its paths are drawn, and where
inputs are large a change of the weights counts for more. What shows that is a policy that adapts
as often in one and the same model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from scipy.stats import spearmanr
from torch import Tensor

from mbmrl_ros.algorithms import mb_mpo
from mbmrl_ros.data.replay import replay
from mbmrl_ros.experiments.policy_cells import TEST_SEED
from mbmrl_ros.networks.params import group
from mbmrl_ros.policies.gaussian import kl
from mbmrl_ros.training.search.stages import Models, Search
from mbmrl_ros.types import Params


class Plasticity(NamedTuple):
    """maps: values [points^2] over a grid, row by row. correlations: of their ranks."""

    maps: dict[str, Tensor]
    correlations: dict[str, float]


@torch.no_grad()
def square(width: float, points: int) -> Tensor:
    """Return a grid of the plane [points^2, 2] from -width to width, row by row from below."""
    line = torch.linspace(-width, width, points)
    return torch.cartesian_prod(line, line).flip(-1)


def plasticity_maps(
    search: Search[mb_mpo.MBMPOConfig], checkpoint: Params, options: Mapping[str, Any]
) -> Plasticity:
    """Return maps of a training of MB-MPO in the plane.

    std: of the members' next states under theta's mean actions, in standard deviations of what a
    step changes. kl: from theta to the policies that adapted each to its own model; same_model:
    from theta to as many that adapted to the first one. options: width, points, draws.
    """
    policy = group(checkpoint, 'policy')
    generator = torch.Generator().manual_seed(TEST_SEED)
    data = [mb_mpo.STAGES.collect(search, policy, generator)]
    models = Models.from_tensors(group(checkpoint, 'models'))
    models = models._replace(replay=replay(data, search.config.buffer_size))
    grid = square(options['width'], options['points'])
    maps = {'std': _spread(search, models, policy, grid)}
    for name, each in (('kl', models), ('same_model', _of_the_first(models))):
        drawn = [_strayed(search, each, policy, grid, generator) for _ in range(options['draws'])]
        maps[name] = torch.stack(drawn).mean(0)
    correlations = {
        f'{name}_correlation': float(spearmanr(maps['std'], maps[name]).statistic)
        for name in ('kl', 'same_model')
    }
    return Plasticity(maps, correlations)


@torch.no_grad()
def _spread(
    search: Search[mb_mpo.MBMPOConfig], models: Models, policy: Params, grid: Tensor
) -> Tensor:
    actions = search.policy.distribution(group(policy, 'params'), grid)['mean']
    actions = (actions / search.env.action_scale).clamp(-1.0, 1.0)
    dynamics, params = search.ensemble(models)
    places, taken = (each.expand(dynamics.members, *each.shape) for each in (grid, actions))
    reached = dynamics.predict(params, places, taken) / models.normalizer.delta_std
    return reached.var(0).sum(-1).sqrt()


def _strayed(
    search: Search[mb_mpo.MBMPOConfig],
    models: Models,
    policy: Params,
    grid: Tensor,
    generator: torch.Generator,
) -> Tensor:
    config = search.config
    env = search.imagined(models, (config.tasks, config.rollouts), 'task')
    learner = mb_mpo.restore(search, policy)
    adapted = group(mb_mpo.adapted_policies(env, learner, generator), 'adapted')
    with torch.no_grad():
        before = search.policy.distribution(group(policy, 'params'), grid)
        after = search.policy.distribution(adapted, grid.expand(config.tasks, *grid.shape))
        return kl(before, after).mean(0)


def _of_the_first(models: Models) -> Models:
    """Return models that are all the first."""
    first = torch.zeros(len(models.state.steps), dtype=torch.int64)
    return models._replace(state=models.state.part(first))
