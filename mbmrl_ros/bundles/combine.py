# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles of models that were trained on their own, put together as an ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.bundles.files import misfit
from mbmrl_ros.config import UserError
from mbmrl_ros.models.dynamics import MLPDynamics
from mbmrl_ros.models.mean import MeanDynamics
from mbmrl_ros.models.normalizer import Normalizer

# What members have in common: the sizes of their networks, and how they adapt.
ALIKE = (
    'algorithm', 'task', 'hidden_sizes', 'past_steps', 'future_steps', 'inner_steps',
    'accept_improvement', 'keep_improvement', 'input_limit', 'cell', 'members',
)  # fmt: skip


def make_ensemble(bundles: Mapping[str, Bundle], uncertainty_penalty: float = 0.0) -> Bundle:
    """Return E models as one bundle; planner and settings are those of the first.

    bundles: of one robot, by what they are called. UserError where they differ in what an ensemble
    has only once, or remember anything (ReBAL).
    """
    first, *others = bundles
    for name in others:
        _check_alike(first, bundles[first], name, bundles[name])
    info, dynamics = bundles[first].info, bundles[first].dynamics
    if not isinstance(dynamics, MLPDynamics):
        kind = 'recurrent' if info.cell else 'an ensemble already'
        raise UserError(f'{first} is {kind}; an ensemble is made of single feed-forward models')
    for name, bundle in bundles.items():
        if bundle.actor is not None:
            raise UserError(f'{name} has a policy beside it; combine the models first')
    members = list(bundles.values())
    statistics = [vars(bundle.dynamics.normalizer) for bundle in members]
    stacked = replace(dynamics, normalizer=Normalizer(**_stacked(statistics)))
    update = {
        'members': len(members),
        'uncertainty_penalty': uncertainty_penalty,
        'training': info.training | {'members': [bundle.info.training for bundle in members]},
        'metrics': {},
    }
    return Bundle(
        info.model_copy(update=update),
        MeanDynamics(stacked, uncertainty_penalty),
        _stacked([bundle.params for bundle in members]),
        _stacked([bundle.step_sizes for bundle in members]),
    )


def _check_alike(first: str, expected: Bundle, name: str, found: Bundle) -> None:
    for field in ALIKE:
        wanted, got = (getattr(bundle.info, field) for bundle in (expected, found))
        if wanted != got:
            raise UserError(
                f'{name} cannot be a member beside {first}: its {field} is {got}, there '
                f'{wanted}; choose models that were trained by the same settings'
            )
    for group in ('params', 'step_sizes'):
        wrong = misfit(getattr(expected, group), getattr(found, group))
        if wrong is not None:
            raise UserError(
                f'{name} cannot be a member beside {first}: its {group}/{wrong.name} is '
                f'{wrong.found}, there {wrong.wanted}; choose models that were trained by the '
                'same settings'
            )


def _stacked(each: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Return tensors of members with a leading E."""
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}
