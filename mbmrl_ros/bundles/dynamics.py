# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles of a model of the dynamics, ready to control: with its adaptation and its planner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from mbmrl_ros.bundles.files import (
    BundleHead,
    check_interface,
    find_bundle,
    group,
    parse_head,
    read_json,
    read_tensors,
    write_bundle,
)
from mbmrl_ros.config import UserError
from mbmrl_ros.models.device import Precision
from mbmrl_ros.models.kinds import DynamicsModel, build_model
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import Cell
from mbmrl_ros.planners.kinds import PlannerConfig
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.types import Params


class BundleInfo(BundleHead):
    """bundle.json.

    inner_steps, accept_improvement, keep_improvement: how GrBAL adapts (adaptation/adapter.py).
    cell: None for a feed-forward network; memory: what a recurrent one remembers
    (adaptation/recurrent.py).
    """

    kind: Literal['dynamics'] = 'dynamics'
    hidden_sizes: tuple[int, ...]
    past_steps: int
    future_steps: int
    inner_steps: int = 1
    accept_improvement: float = 0.0
    keep_improvement: float | None = None
    input_limit: float | None = None
    cell: Cell | None = None
    memory: Literal['window', 'episode'] = 'window'
    precision: Precision
    planner: PlannerConfig


@dataclass(frozen=True)
class Bundle:
    """A model that is ready to control. step_sizes: of gradient steps; empty where none are."""

    info: BundleInfo
    dynamics: DynamicsModel
    params: Params
    step_sizes: Params


def save_bundle(folder: Path, bundle: Bundle) -> None:
    """Write a bundle; bundle.json comes last, so that half a bundle is none."""
    tensors = {f'params/{name}': value for name, value in bundle.params.items()}
    tensors |= {f'step_sizes/{name}': value for name, value in bundle.step_sizes.items()}
    statistics = vars(bundle.dynamics.normalizer)
    tensors |= {f'normalizer/{name}': value for name, value in statistics.items()}
    write_bundle(folder, bundle.info, tensors)


def load_bundle(name_or_path: str | Path, spec: RobotSpec) -> Bundle:
    """Load a bundle by path or by the name of a shipped one.

    UserError if it is missing, damaged, or made for another robot: it names the field.
    """
    folder = find_bundle(name_or_path)
    info = read_info(folder)
    check_interface(folder, info, spec)
    tensors = read_tensors(folder, info)
    normalizer = Normalizer(**group(tensors, 'normalizer'))
    dynamics = build_model(
        spec, info.hidden_sizes, info.cell, normalizer, info.precision, info.input_limit
    )
    params = group(tensors, 'params')
    _check_weights(folder, info, dynamics, params)
    return Bundle(info, dynamics, params, group(tensors, 'step_sizes'))


def read_info(folder: Path) -> BundleInfo:
    """Read bundle.json; UserError if it is missing, damaged, or of another format or kind."""
    return parse_head(BundleInfo, folder, read_json(folder))


def on_device(bundle: Bundle, device: torch.device, precision: Precision | None = None) -> Bundle:
    """Return the bundle with its tensors on a device, planning in a precision (None: its own)."""
    statistics = {k: v.to(device) for k, v in vars(bundle.dynamics.normalizer).items()}
    dynamics = replace(
        bundle.dynamics,
        normalizer=Normalizer(**statistics),
        precision=precision or bundle.dynamics.precision,
    )
    params, step_sizes = (
        {name: value.to(device) for name, value in group.items()}
        for group in (bundle.params, bundle.step_sizes)
    )
    return Bundle(bundle.info, dynamics, params, step_sizes)


def _check_weights(
    folder: Path, info: BundleInfo, dynamics: DynamicsModel, params: Params
) -> None:
    """UserError where bundle.json tells of another network than the one that is there."""
    # Scale and shift of the inputs are there where the training asked for them.
    shapes, theirs = (
        {name: tuple(v.shape) for name, v in each.items() if name not in ('scale', 'shift')}
        for each in (dynamics.init(torch.Generator()), params)
    )
    if shapes != theirs:
        name = next(k for k in sorted({**shapes, **theirs}) if shapes.get(k) != theirs.get(k))
        kind = f'{info.cell or "feed-forward"} network of hidden_sizes {list(info.hidden_sizes)}'
        raise UserError(
            f'bundle {folder} is damaged: bundle.json tells of a {kind}, with {name} '
            f'{shapes.get(name, "missing")}; in model.safetensors it is '
            f'{theirs.get(name, "missing")}'
        )
