# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles of a policy: what builds it, its parameters, and what it adapts by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from mbmrl_ros.bundles.files import (
    BundleHead,
    damaged,
    find_bundle,
    misfit,
    parse_head,
    read_json,
    read_tensors,
    write_bundle,
)
from mbmrl_ros.config import UserError
from mbmrl_ros.networks.cells import Cell
from mbmrl_ros.networks.params import group
from mbmrl_ros.policies.gaussian import GaussianPolicy
from mbmrl_ros.policies.recurrent import RecurrentPolicy
from mbmrl_ros.policies.squashed import SquashedPolicy
from mbmrl_ros.types import Params


class PolicyInfo(BundleHead):
    """bundle.json.

    action_scale: the action of the policy that stands for 1. whole_state: whether it is shown
    channels that feed no network, too. cell: of a recurrent policy, whose one layer is
    hidden_sizes; what that is shown beside observations is in observation_size
    (training/meta/trials.py). squashed: whether a tanh bounds its actions
    (policies/squashed.py). iteration: after which it was published. How it adapts is in
    `training`.
    """

    kind: Literal['policy'] = 'policy'
    observation_size: int
    action_size: int
    action_scale: float
    whole_state: bool = False
    hidden_sizes: tuple[int, ...]
    cell: Cell | None = None
    squashed: bool = False
    min_std: float
    iteration: int = 0


@dataclass(frozen=True)
class PolicyBundle:
    """A policy. tensors: params/NAME, learned step_sizes/NAME, normalizer/NAME."""

    info: PolicyInfo
    tensors: Params

    @property
    def params(self) -> Params:
        """Its parameters, before any adaptation."""
        return group(self.tensors, 'params')

    @property
    def step_sizes(self) -> Params:
        """Learned inner step sizes; empty where they are the same for all."""
        return group(self.tensors, 'step_sizes')


def build_policy(info: PolicyInfo) -> GaussianPolicy | RecurrentPolicy | SquashedPolicy:
    """Return the functions of a policy, without parameters."""
    if info.squashed:
        return SquashedPolicy(info.observation_size, info.action_size, info.hidden_sizes)
    if info.cell is None:
        sizes = info.observation_size, info.action_size, info.hidden_sizes
        return GaussianPolicy(*sizes, min_std=info.min_std)
    (units,) = info.hidden_sizes
    return RecurrentPolicy(
        info.observation_size, info.action_size, units, info.cell, min_std=info.min_std
    )


def save_policy(folder: Path, bundle: PolicyBundle) -> None:
    """Write a bundle; bundle.json comes last, so that half a bundle is none."""
    write_bundle(folder, bundle.info, bundle.tensors)


def load_policy(name_or_path: str | Path) -> PolicyBundle:
    """Load a bundle; UserError if it is missing, damaged, or of a model of the dynamics."""
    folder = find_bundle(name_or_path)
    info = parse_head(PolicyInfo, folder, read_json(folder))
    if info.cell is not None and len(info.hidden_sizes) != 1:
        raise damaged(folder / 'bundle.json', f'a {info.cell} has one layer, and not '
                      f'{list(info.hidden_sizes)}')  # fmt: skip
    bundle = PolicyBundle(info, read_tensors(folder, info))
    drawn = build_policy(info).init(torch.Generator())
    wrong = misfit(drawn, bundle.params)
    if wrong is not None:
        raise UserError(
            f'bundle {folder} is damaged: by bundle.json {wrong.name} is {wrong.wanted}, in '
            f'model.safetensors {wrong.found}'
        )
    return bundle
