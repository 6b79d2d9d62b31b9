# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles of a policy: what builds it, its parameters, and what it adapts by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

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
    """bundle.json of a policy; how it adapts is in `training`."""

    kind: Literal['policy'] = Field('policy', description='a policy')
    observation_size: int = Field(
        description='numbers that it is shown; a recurrent one also the last action, the last '
        'reward, and whether an episode ended'
    )
    action_size: int = Field(description='numbers that it answers with, one per joint')
    action_scale: float = Field(
        description='its action that stands for the limit of the robot, linearly'
    )
    whole_state: bool = Field(
        False, description='whether it is shown channels with `input: false` too'
    )
    hidden_sizes: tuple[int, ...] = Field(
        description='units of each hidden layer; one of a recurrent policy'
    )
    cell: Cell | None = Field(
        None, description='of a recurrent policy (RL2); nothing: a feed-forward one'
    )
    squashed: bool = Field(False, description='whether a tanh bounds its actions (MAAC, SAC)')
    min_std: float = Field(description='floor of the standard deviation of its actions')
    iteration: int = Field(0, description='of the training, after which it was written')


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
