# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A run folder: configuration, metrics, data, checkpoint, bundles. Killed at any moment, it can
be started again and goes on from the last whole iteration.

    config.yaml  run.json          what was asked for
    metrics.csv  tensorboard/      one row per iteration
    data/0003.safetensors          trajectories of iteration 3
    checkpoint.safetensors         parameters, optimiser, random state, iteration
    bundles/0003/  bundle/         the model after every iteration, and the last
"""

from __future__ import annotations

import csv
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from mbmrl_ros.config import Config, UserError, known_settings, read_yaml
from mbmrl_ros.data.dataset import Trajectory, load_trajectories, save_trajectories, split_long
from mbmrl_ros.models.device import Precision, choose_precision
from mbmrl_ros.spec.model_text import why_damaged
from mbmrl_ros.system.outputs import reason, replacing
from mbmrl_ros.system.outputs import write_text as write_text
from mbmrl_ros.training.tensorboard import Board

Present = Callable[[dict[str, Any]], dict[str, Any]]
"""What a file says -> the same by the names of now."""

After = Callable[[int, dict[str, float]], None]
"""(iteration, its metrics): called when an iteration counts as done."""

# What is chosen by itself where it is `auto`.
PRECISIONS = ('precision', 'fit_precision')


class Run:
    """The folder of one training."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        identity: dict[str, Any],
        after: After | None = None,
    ) -> None:
        """Open or create; UserError if the folder holds a training with other settings.

        after: may take its time, and what it raises ends the training, which can be gone on with.
        """
        self.folder = folder
        # Where rollouts are made: ray:N (training/meta/remote.py); empty: here.
        self.samplers = str(identity.get('samplers', ''))
        self._after, self._logged = after, dict[str, float]()
        try:
            (folder / 'data').mkdir(parents=True, exist_ok=True)
            (folder / 'bundles').mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f'cannot create the run folder {folder}: {reason(error)}') from error
        self._claim('run.json', identity, _as_json, dict)
        settings = config.model_dump(mode='json')
        self._board = Board(folder / 'tensorboard', identity | settings)
        present = functools.partial(present_settings, type(config))
        self._claim('config.yaml', settings, _as_yaml, present)

    def _claim(
        self,
        name: str,
        settings: dict[str, Any],
        dump: Callable[[dict[str, Any]], str],
        present: Present,
    ) -> None:
        """Write the settings, or compare; a run may go on for more iterations than it had.

        A precision that is chosen by itself stays what it was: the file says what the run began
        with.
        """
        path = self.folder / name
        if path.exists():
            other = _difference(path, settings, present)
            if other:
                raise UserError(
                    f'{path} is of a training with other settings ({other}); choose another '
                    '--out, or start again with the same settings to go on with that one'
                )
            began = present(read_yaml(path))
            kept = {key: began.get(key, settings[key]) for key in PRECISIONS if key in settings}
            settings = settings | kept
            if path.read_text() == dump(settings):
                return
        write_text(path, dump(settings))

    def precisions(self) -> dict[str, Precision]:
        """Return the precisions of this run: chosen once, and kept when it goes on elsewhere."""
        path = self.folder / 'config.yaml'
        settings = read_yaml(path)
        cpu = torch.device('cpu')
        named = {key: settings[key] for key in PRECISIONS if key in settings}
        chosen = {key: choose_precision(value, cpu) for key, value in named.items()}
        if chosen != named:
            write_text(path, _as_yaml(settings | chosen))
        return chosen

    def load(self) -> tuple[int, dict[str, Tensor], list[list[Trajectory]]]:
        """Return the last whole iteration (0: none), its checkpoint, and all data up to it."""
        iteration, tensors = self.load_checkpoint()
        data = [self.load_data(i) for i in range(1, iteration + 1)]
        return iteration, tensors, data

    def load_checkpoint(self) -> tuple[int, dict[str, Tensor]]:
        """Return the last whole iteration (0: none) and its checkpoint, without any data."""
        return read_checkpoint(self.folder)

    def adopt(self, source: Path, with_data: bool = True, iterations: int | None = None) -> None:
        """Take over another run's data and last parameters, so that the last fit is left to do.

        with_data: or its parameters and last bundle alone, to collect by and to go on from.
        iterations: of this training. Does nothing if this run has begun; UserError if the other
        has no finished iteration, or more than there are to be here.
        """
        if (self.folder / 'checkpoint.safetensors').exists():
            return
        last = finished_iterations(source)
        if is_search(source):
            raise UserError(f'{source} searched for a policy: it has no weights to start from')
        _, tensors = read_checkpoint(source)
        if with_data and iterations and last > iterations:
            raise UserError(
                f'{source} has the data of {last} iterations, and this training is to end after '
                f'{iterations}, so that nothing would be fitted to them; add --set '
                f'iterations={last}, or more to go on collecting'
            )
        done, known = (last - 1, last - 1) if with_data else (0, last)
        try:
            for iteration in range(1, last + 1) if with_data else ():
                shutil.copy(data_file(source, iteration), data_file(self.folder, iteration))
            if known:
                bundle = source / 'bundles' / f'{known:04d}'
                shutil.copytree(bundle, self.publish(done), dirs_exist_ok=True)
        except OSError as error:
            raise UserError(f'cannot copy {source} to {self.folder}: {reason(error)}') from error
        params = {key: value for key, value in tensors.items() if key.startswith('params/')}
        self.save_checkpoint(done, params)

    def adopt_data(self, source: Path, fewest: int, shortest: int) -> None:
        """Take over all that another run collected, as what this one collected first.

        In at least `fewest` pieces of at least `shortest` steps: long episodes are cut. Does
        nothing if this run has begun; UserError if the other has too little, or nothing.
        """
        if self.has_data(1):
            return
        files = [data_file(source, 1 + index) for index in range(finished_iterations(source))]
        collected = [each for path in files for each in load_trajectories(path)]
        pieces = split_long(collected, fewest, shortest)
        if len(pieces) < fewest:
            raise UserError(
                f'{source} has {len(collected)} episodes, which give {len(pieces)} pieces of '
                f'{shortest} steps; {fewest} are needed, one of them to validate by: collect '
                'more, or set a larger validation_fraction'
            )
        self.save_data(1, pieces)

    def save_data(self, iteration: int, trajectories: list[Trajectory]) -> None:
        """Write what one iteration collected."""
        save_trajectories(data_file(self.folder, iteration), trajectories)

    def has_data(self, iteration: int) -> bool:
        """Whether this iteration had collected before it was killed."""
        return data_file(self.folder, iteration).exists()

    def load_data(self, iteration: int) -> list[Trajectory]:
        """Read what an iteration collected."""
        return load_trajectories(data_file(self.folder, iteration))

    def save_checkpoint(self, iteration: int, tensors: dict[str, Tensor]) -> None:
        """Replace the checkpoint: the moment at which the iteration counts as done."""
        path = self.folder / 'checkpoint.safetensors'
        whole = {name: value.detach().contiguous().clone() for name, value in tensors.items()}
        with replacing(path) as temporary:
            save_file(whole | {'iteration': torch.tensor(iteration)}, temporary)
        if self._after is not None:
            self._after(iteration, self._logged)

    def log(self, iteration: int, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row to metrics.csv and to TensorBoard; an older row of it is replaced.

        step: what TensorBoard's curves go over; None: iterations.
        """
        self._logged = metrics
        rows = [row for row in self._rows() if int(row['iteration']) < iteration]
        rows.append({'iteration': str(iteration)} | {k: f'{v:.8g}' for k, v in metrics.items()})
        # A row of an earlier version lacks what was not measured then.
        names = list(rows[-1])
        lines = [','.join(row.get(name) or '' for name in names) for row in rows]
        lines.insert(0, ','.join(names))
        write_text(self.folder / 'metrics.csv', '\n'.join(lines) + '\n')
        at = iteration if step is None else step
        self._board.log(metrics, at)

    def last_logged(self) -> dict[str, float]:
        """Return the last row of metrics.csv; empty before the first."""
        rows = self._rows()
        return {name: float(value or 'nan') for name, value in rows[-1].items()} if rows else {}

    def _rows(self) -> list[dict[str, str]]:
        path = self.folder / 'metrics.csv'
        return read_rows(path) if path.exists() else []

    def publish(self, iteration: int) -> Path:
        """Return the folder for this iteration's bundle; 0: that of another run, to begin with."""
        return self.folder / 'bundles' / f'{iteration:04d}'


def _as_json(settings: dict[str, Any]) -> str:
    return json.dumps(settings, indent=2)


def _as_yaml(settings: dict[str, Any]) -> str:
    return yaml.safe_dump(settings, sort_keys=False)


def same_setting(name: str, found: Any, wanted: Any) -> bool:
    """Whether a setting is what is wanted; a precision that is chosen by itself may be either.

    So a run goes on, and a result counts, on a machine that is faster with the other one.
    """
    chosen = wanted == 'auto' and found in ('float32', 'bfloat16')
    return found == wanted or (chosen and name.split('.')[-1] in PRECISIONS)


def is_search(source: Path) -> bool:
    """Whether a run searched for a policy in models, whose weights are of no use to others."""
    return any(name.startswith('models/') for name in read_checkpoint(source)[1])


def finished_iterations(source: Path) -> int:
    """Return how many iterations a run has finished; UserError if it is none."""
    last, _ = read_checkpoint(source)
    if last == 0:
        raise UserError(f'{source} is not a run folder with a finished iteration')
    return last


def present_settings(record: type[Config], found: dict[str, Any]) -> dict[str, Any]:
    """Return all settings of a run: what an older version did not name has its default."""
    return record.model_validate(known_settings(record, found)).model_dump(mode='json')


def _difference(path: Path, settings: dict[str, Any], present: Present) -> str:
    """Return the first setting that a file has otherwise, the number of iterations apart."""
    try:
        found = present(read_yaml(path))
    except UserError as error:
        raise UserError(f'{error}; put it right, or choose another --out') from error
    except ValidationError:
        return 'it cannot be read'
    for key in sorted((set(settings) | set(found)) - {'iterations'}):
        if not same_setting(key, found.get(key), settings.get(key)):
            return f'{key}: {found.get(key)!r} there, {settings.get(key)!r} here'
    return ''


def data_file(folder: Path, iteration: int) -> Path:
    """Return where a run keeps what an iteration collected."""
    return folder / 'data' / f'{iteration:04d}.safetensors'


def read_checkpoint(folder: Path) -> tuple[int, dict[str, Tensor]]:
    """Return the last whole iteration of a run (0: none) and its checkpoint."""
    path = folder / 'checkpoint.safetensors'
    if not path.exists():
        return 0, {}
    try:
        tensors = load(path.read_bytes())
        iteration = int(tensors.pop('iteration'))
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except SafetensorError as error:
        raise UserError(f'{path} is damaged: {why_damaged(path, error)}') from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(f'{path} is no checkpoint of a run: it tells no iteration') from error
    if iteration < 0:
        raise UserError(f'{path} is damaged: it is of iteration {iteration}')
    return iteration, tensors


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a metrics.csv; UserError where they are not of numbers."""
    try:
        with path.open(encoding='utf-8-sig', newline='') as file:
            rows = list(csv.DictReader(file))
        for number, row in enumerate(rows, 2):
            int(row['iteration'])
            if [text for text in row.values() if text and not _is_number(text)]:
                raise ValueError(f'line {number} is not one of numbers, as many as it has columns')
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except (ValueError, KeyError, csv.Error) as error:
        why = 'it has no column iteration' if isinstance(error, KeyError) else error
        raise UserError(
            f'{path} is damaged ({why}); put it right, or remove it: a run that goes on begins it '
            'anew'
        ) from error
    return rows


def _is_number(text: object) -> bool:
    try:
        float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def read_data(folder: Path) -> list[list[Trajectory]]:
    """Return what a run has collected, iteration by iteration, or piece by piece."""
    return [load_trajectories(path) for path in sorted((folder / 'data').glob('*.safetensors'))]


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten an optimiser's state (Adam's moments and step counts) to named tensors."""
    state = optimiser.state_dict()['state']
    return {
        f'optimiser/{index}/{name}': torch.as_tensor(value)
        for index, entries in state.items()
        for name, value in entries.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` returned."""
    whole = optimiser.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith('optimiser/'):
            index, _, name = key.removeprefix('optimiser/').partition('/')
            if not index.isdecimal():
                raise UserError(
                    f'the checkpoint has {key!r}, which no optimiser of this version has'
                )
            state.setdefault(int(index), {})[name] = value
    if state:
        whole['state'] = state
        optimiser.load_state_dict(whole)
