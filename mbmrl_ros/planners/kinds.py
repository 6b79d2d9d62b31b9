# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Planners by kind, as bundles, recipes and parameters name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from mbmrl_ros.config import UserError, closest, parse
from mbmrl_ros.planners.cem import CEM, CEMConfig
from mbmrl_ros.planners.mppi import MPPI, MPPIConfig, of_before
from mbmrl_ros.planners.random_shooting import RandomShooting, RandomShootingConfig
from mbmrl_ros.types import Planner


def _kind_of(value: Any) -> str:
    """Return the kind of a planner's parameters."""
    if isinstance(value, Mapping):
        return str(value['kind'])
    return str(getattr(value, 'kind', 'mppi'))


def _with_kind(value: Any) -> Any:
    """Return parameters that name their kind; files from before there were kinds are MPPI's."""
    return of_before(value) if isinstance(value, Mapping) and 'kind' not in value else value


PlannerConfig = Annotated[
    Annotated[MPPIConfig, Tag('mppi')]
    | Annotated[RandomShootingConfig, Tag('random_shooting')]
    | Annotated[CEMConfig, Tag('cem')],
    Discriminator(_kind_of),
    BeforeValidator(_with_kind),
]
"""The parameters of a planner: those of its `kind`; without one, of MPPI as it was before."""

CONFIGS: dict[str, type[MPPIConfig | RandomShootingConfig | CEMConfig]] = {
    'mppi': MPPIConfig,
    'random_shooting': RandomShootingConfig,
    'cem': CEMConfig,
}


def make_planner(config: PlannerConfig, action_size: int) -> Planner:
    """Return the planner of some parameters, for actions of that size."""
    if isinstance(config, RandomShootingConfig):
        return RandomShooting(config, action_size)
    return CEM(config, action_size) if isinstance(config, CEMConfig) else MPPI(config, action_size)


def changed(config: PlannerConfig, kind: str, changes: Mapping[str, Any]) -> PlannerConfig:
    """Return parameters with changes; of another kind, its defaults with changes.

    kind: empty for the same. UserError if there is no such kind, or it lacks what is changed.
    """
    kind = kind or config.kind
    if kind not in CONFIGS:
        raise UserError(f'unknown planner {kind!r}; {closest(kind, CONFIGS)}')
    own = dict(config) if kind == config.kind else {}
    if 'noise' in changes:
        own.pop('noise_of', None)
    if 'smoothing' in changes:
        own.pop('knots', None)
    return parse(CONFIGS[kind], own | dict(changes), f'planner {kind}')
