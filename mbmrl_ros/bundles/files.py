# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bundles: what was trained as a folder of two files, and nothing in them that can run.

bundle.json         what it is, for which robot, how it was trained
model.safetensors   weights, step sizes, statistics

Of one of two kinds: a model of the dynamics (bundles/dynamics.py) or a policy (bundles/policy.py).
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pydantic import ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from mbmrl_ros import __version__
from mbmrl_ros.config import PACKAGE, Config, UserError, closest, share_directory
from mbmrl_ros.spec.model_text import LFS, POINTER
from mbmrl_ros.spec.robot import RobotSpec
from mbmrl_ros.system.explain import explain
from mbmrl_ros.system.outputs import as_json, reason, replacing

if TYPE_CHECKING:
    from mbmrl_ros.types import Params

Kind = Literal['dynamics', 'policy']


class BundleHead(Config):
    """What bundle.json says of a bundle of either kind; each kind adds what builds it."""

    # A loss that was not finite is worth knowing, and JSON has no number for it.
    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan='strings')

    format: Literal[2] = Field(2, description='of the file; bundles of format 1 are read too')
    kind: Kind = Field(description='what the bundle holds')
    algorithm: str = Field(description='that trained it')
    task: str = Field(description='that it was trained for')
    robot: str = Field(description='name of the robot file that it was trained with')
    robot_hash: str = Field(
        description='first 16 digits of the SHA-256 of `interface`; another one than that of your '
        'robot file: the bundle does not fit, and the error names the key that differs'
    )
    interface: dict[str, Any] = Field(
        description='what it depends on of the robot file: name, period, channels of the state in '
        'their order, points, joints, field and limits of the action'
    )
    training: dict[str, Any] = Field(description='all settings of the algorithm, as used')
    metrics: dict[str, float] = Field(
        description="numbers of the training's last iteration, as in `metrics.csv` of its run; "
        'what is not finite is text'
    )
    package_version: str = Field(__version__, description='of mbmrl_ros that wrote it')
    commit: str = Field('', description='of the checkout that wrote it; empty: it was none')
    weights_sha256: str = Field('', description='of model.safetensors; checked before it is read')


FORMAT = 2
Head = TypeVar('Head', bound=BundleHead)


def write_bundle(folder: Path, info: BundleHead, tensors: Params) -> None:
    """Write a bundle; bundle.json comes last, so that half a bundle is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'cannot write the bundle {folder}: {reason(error)}') from error
    with (
        replacing(folder / 'bundle.json') as description,
        replacing(folder / 'model.safetensors') as weights,
    ):
        save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, weights)
        update = {'weights_sha256': _sha256(weights), 'commit': _commit()}
        description.write_text(as_json(info.model_copy(update=update).model_dump()))


def save_file(tensors: Params, path: Path) -> None:
    """Write tensors by safetensors, which brings torch: a list of bundles does without."""
    from safetensors.torch import save_file as write

    write(tensors, path)


def read_tensors(folder: Path, info: BundleHead) -> Params:
    """Read the tensors of a bundle; UserError if they are missing or damaged."""
    from safetensors.torch import load

    weights = folder / 'model.safetensors'
    try:
        source = weights.read_bytes()
        if source.startswith(LFS):
            raise UserError(f'{weights} {POINTER}')
        if _sha256(weights) != info.weights_sha256:
            raise UserError(f'{weights} is damaged: its checksum is not the one in bundle.json')
        return load(source)
    except OSError as error:
        raise UserError(f'{weights} cannot be read: {error.strerror}') from error
    except SafetensorError as error:
        raise UserError(f'{weights} cannot be read: {error}') from error


def read_json(folder: Path) -> dict[str, Any]:
    """Read bundle.json as format 2; UserError if it is missing or damaged."""
    path = folder / 'bundle.json'
    try:
        source = path.read_bytes()
        if source.startswith(LFS):
            raise UserError(f'{path} {POINTER}')
        data = json.loads(source.decode('utf-8-sig'))
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(data, dict):
        raise damaged(path, 'it holds no record')
    return _of_format_1(data) if data.get('format') == 1 else data


def bundle_kind(folder: Path) -> str:
    """Return what bundle.json says that a bundle is; UserError if nobody can read it."""
    return str(read_json(folder).get('kind', ''))


def read_head(folder: Path) -> BundleHead:
    """Read what bundles of every kind say of themselves; UserError if it is damaged."""
    data = read_json(folder)
    try:
        return BundleHead.model_validate(
            {key: data[key] for key in BundleHead.model_fields if key in data}
        )
    except ValidationError as error:
        raise _misfit_of(BundleHead, folder, data, error) from error


def parse_head(record: type[Head], folder: Path, data: dict[str, Any]) -> Head:
    """Return what bundle.json says as a record; UserError if it is of another kind or format."""
    kind, wanted = data.get('kind'), record.model_fields['kind'].default
    if kind in ('dynamics', 'policy') and wanted in ('dynamics', 'policy') and kind != wanted:
        raise UserError(
            f'{folder} is a bundle of kind {kind}; here one of kind {wanted} is needed'
        )
    try:
        return record.model_validate(data)
    except ValidationError as error:
        raise _misfit_of(record, folder, data, error) from error


def _misfit_of(
    record: type[BundleHead], folder: Path, data: dict[str, Any], error: ValidationError
) -> UserError:
    """Return the first thing that bundle.json has otherwise than its record."""
    path, found = folder / 'bundle.json', data.get('format', FORMAT)
    if found != FORMAT and isinstance(found, int):
        return UserError(
            f'{path} is of format {found}, and this version reads 1 to {FORMAT}; use the version '
            f'of {PACKAGE} that wrote it, or a later one'
        )
    return damaged(path, explain(record, error.errors()[0]))


def damaged(path: Path, error: object) -> UserError:
    """Return the error of a bundle.json that nobody can read."""
    line = ' '.join(str(error).split())[:200]
    return UserError(f'{path} is damaged or of another format: {line}')


# What format 1 called what has another name now, in bundle.json and in its metrics.
_FORMER = {'minimum_gain': 'accept_improvement', 'gain_to_keep': 'keep_improvement'}
_FORMER_PLANNER = {'inertia': 'alpha', 'minimum_noise': 'min_std'}
FORMER_METRICS = {'held_out_loss': 'validation_loss'}


def _of_format_1(data: dict[str, Any]) -> dict[str, Any]:
    """Return format 2 for a bundle from before there were policies."""
    data = {_FORMER.get(key, key): value for key, value in data.items()}
    # Adaptation that was judged by the newest part of its window; no shipped bundle had any.
    data.pop('newest_steps', None)
    metrics = data.get('metrics')
    if isinstance(metrics, dict):
        data['metrics'] = {FORMER_METRICS.get(k, k): value for k, value in metrics.items()}
    planner = data.get('planner')
    if isinstance(planner, dict):
        data['planner'] = {_FORMER_PLANNER.get(k, k): value for k, value in planner.items()}
    return data | {'format': 2, 'kind': 'dynamics'}


def find_bundle(name_or_path: str | Path) -> Path:
    """Return the folder of a bundle, or that of a run's last one; UserError names the shipped."""
    path = Path(name_or_path)
    for folder in (path, path / 'bundle'):
        if (folder / 'bundle.json').exists():
            return folder
    shipped = share_directory() / 'bundles'
    names = bundle_names()
    if str(name_or_path) in names:
        return shipped / str(name_or_path)
    raise UserError(
        f'no bundle {str(name_or_path)!r} (a folder with bundle.json); '
        f'{closest(str(name_or_path), names)}'
    )


class Misfit(NamedTuple):
    """The first tensor that is not as it should be: its shape, and that which it has."""

    name: str
    wanted: tuple[int, ...] | str
    found: tuple[int, ...] | str


def misfit(wanted: Params, found: Params) -> Misfit | None:
    """Return the first tensor, by name, that is missing, too many or of another shape."""
    shapes, theirs = (
        {name: tuple(value.shape) for name, value in each.items()} for each in (wanted, found)
    )
    for name in sorted({**shapes, **theirs}):
        if shapes.get(name) != theirs.get(name):
            return Misfit(name, shapes.get(name, 'missing'), theirs.get(name, 'missing'))
    return None


def bundle_names() -> list[str]:
    """Return the shipped bundles."""
    root = share_directory() / 'bundles'
    return sorted(str(path.parent.relative_to(root)) for path in root.glob('**/bundle.json'))


def robot_section(spec: RobotSpec) -> dict[str, Any]:
    """Return what bundle.json says of the robot."""
    interface = json.loads(json.dumps(spec.interface))
    return {'robot': spec.name, 'robot_hash': spec.hash, 'interface': interface}


def check_interface(folder: Path, info: BundleHead, spec: RobotSpec) -> None:
    """UserError if a bundle was made for another robot: it names the field."""
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


def _channel_names(channels: object) -> list[object]:
    """Return the names in what bundle.json says of the state, which may be anything."""
    entries = channels if isinstance(channels, list) else []
    return [entry.get('name') if isinstance(entry, dict) else entry for entry in entries]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _commit() -> str:
    """Return the commit of the checkout that this package runs from; empty if it is none."""
    command = ['git', '-C', str(Path(__file__).parent), 'rev-parse', 'HEAD']
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''
