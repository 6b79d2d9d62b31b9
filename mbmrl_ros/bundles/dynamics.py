# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles: a trained model as a folder of two files, and nothing in them that can run.

bundle.json         what it is, for which robot, how it was trained
model.safetensors   weights, step sizes, statistics
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from mbmrl_ros import __version__
from mbmrl_ros.config import Config, UserError, closest, share_directory
from mbmrl_ros.models.device import Precision
from mbmrl_ros.models.kinds import DynamicsModel, build_model
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import Cell
from mbmrl_ros.planners.kinds import PlannerConfig
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.system.outputs import as_json, reason, replacing
from mbmrl_ros.types import Params


class BundleInfo(Config):
    """bundle.json.

    cell: None for a feed-forward network; memory: what a recurrent one remembers
    (adaptation/recurrent.py).
    """

    # A loss that was not finite is worth knowing, and JSON has no number for it.
    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan='strings')

    format: Literal[1] = 1
    algorithm: str
    task: str
    robot: str
    robot_hash: str
    interface: dict[str, Any]
    hidden_sizes: tuple[int, ...]
    past_steps: int
    future_steps: int
    inner_steps: int
    accept_improvement: float = 0.0
    keep_improvement: float | None = None
    newest_steps: int = 0
    input_limit: float | None = None
    cell: Cell | None = None
    memory: Literal['window', 'episode'] = 'window'
    precision: Precision
    planner: PlannerConfig
    training: dict[str, Any]
    metrics: dict[str, float]
    package_version: str = __version__
    commit: str = ''
    weights_sha256: str = ''


@dataclass(frozen=True)
class Bundle:
    """A model that is ready to control."""

    info: BundleInfo
    dynamics: DynamicsModel
    params: Params
    step_sizes: Params


def save_bundle(folder: Path, bundle: Bundle) -> None:
    """Write a bundle; bundle.json comes last, so that half a bundle is none."""
    normalizer = bundle.dynamics.normalizer
    tensors = {f'params/{name}': value for name, value in bundle.params.items()}
    tensors |= {f'step_sizes/{name}': value for name, value in bundle.step_sizes.items()}
    tensors |= {f'normalizer/{name}': value for name, value in vars(normalizer).items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'cannot write the bundle {folder}: {reason(error)}') from error
    with (
        replacing(folder / 'bundle.json') as description,
        replacing(folder / 'model.safetensors') as weights,
    ):
        save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, weights)
        info = bundle.info.model_copy(
            update={'weights_sha256': _sha256(weights), 'commit': _commit()}
        )
        description.write_text(as_json(info.model_dump()))


def load_bundle(name_or_path: str | Path, spec: RobotSpec) -> Bundle:
    """Load a bundle by path or by the name of a shipped one.

    UserError if it is missing, damaged, or made for another robot: it names the field.
    """
    folder = find_bundle(name_or_path)
    info = read_info(folder)
    _check_interface(folder, info, spec)
    weights = folder / 'model.safetensors'
    try:
        if _sha256(weights) != info.weights_sha256:
            raise UserError(f'{weights} is damaged: its checksum is not the one in bundle.json')
        tensors = load(weights.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UserError(f'{weights} cannot be read: {error}') from error
    normalizer = Normalizer(**_group(tensors, 'normalizer'))
    dynamics = build_model(
        spec, info.hidden_sizes, info.cell, normalizer, info.precision, info.input_limit
    )
    params = _group(tensors, 'params')
    _check_weights(folder, info, dynamics, params)
    return Bundle(info, dynamics, params, _group(tensors, 'step_sizes'))


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


def find_bundle(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle; UserError names the shipped ones."""
    path = Path(name_or_path)
    if (path / 'bundle.json').exists():
        return path
    shipped = share_directory() / 'bundles'
    names = bundle_names()
    if str(name_or_path) in names:
        return shipped / str(name_or_path)
    raise UserError(
        f'no bundle {str(name_or_path)!r} (a folder with bundle.json); '
        f'{closest(str(name_or_path), names)}'
    )


def bundle_names() -> list[str]:
    """Return the shipped bundles."""
    root = share_directory() / 'bundles'
    return sorted(str(path.parent.relative_to(root)) for path in root.glob('**/bundle.json'))


def read_info(folder: Path) -> BundleInfo:
    """Read bundle.json; UserError if it is missing, damaged or of another format."""
    path = folder / 'bundle.json'
    try:
        return BundleInfo.model_validate(json.loads(path.read_text()))
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except (ValueError, ValidationError) as error:
        line = ' '.join(str(error).split())[:200]
        raise UserError(f'{path} is damaged or of another format: {line}') from error


def _check_interface(folder: Path, info: BundleInfo, spec: RobotSpec) -> None:
    if info.robot_hash == spec.hash:
        return
    ours = json.loads(json.dumps(spec.interface))
    for field, value in ours.items():
        theirs = info.interface.get(field)
        if theirs == value:
            continue
        if field == 'state':
            theirs, value = _channel_names(theirs), _channel_names(value)
            if theirs == value:
                break
        raise UserError(
            f'bundle {folder} does not fit robot {spec.name}: its {field} is {theirs}, '
            f'the robot file says {value}; train again, or use the robot file it was made with'
        )
    raise UserError(
        f'bundle {folder} does not fit robot {spec.name}: its state channels have the same names, '
        'but other topics, fields, encodings or units; train again'
    )


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


def _channel_names(channels: object) -> list[object]:
    """Return the names in what bundle.json says of the state, which may be anything."""
    entries = channels if isinstance(channels, list) else []
    return [entry.get('name') if isinstance(entry, dict) else entry for entry in entries]


def _group(tensors: Params, prefix: str) -> Params:
    return {
        key.removeprefix(f'{prefix}/'): value
        for key, value in tensors.items()
        if key.startswith(f'{prefix}/')
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _commit() -> str:
    """Return the commit of the checkout that this package runs from; empty if it is none."""
    command = ['git', '-C', str(Path(__file__).parent), 'rev-parse', 'HEAD']
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''
