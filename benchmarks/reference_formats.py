# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pages on files that people read: bundles, datasets, the output of --json."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from json_keys import SECTIONS
from pydantic import BaseModel
from reference_tables import code, settings_table, table
from safetensors.torch import load_file

from mbmrl_ros.bundles.dynamics import BundleInfo
from mbmrl_ros.bundles.files import BundleHead
from mbmrl_ros.bundles.policy import PolicyInfo
from mbmrl_ros.cli.settings import rows_of
from mbmrl_ros.data.recordings import Manifest
from mbmrl_ros.recordings.cut import REASONS
from mbmrl_ros.spec.robot import RobotSpec

BUNDLE = """# bundle.json

A bundle is what a training leaves: a folder with two files. It is one of two kinds, a **model** of
the dynamics with a planner, or a **policy**. `mbmrl evaluate`, `mbmrl control` and the like take
its folder, that of a whole run, or the name of one that is shipped (`mbmrl bundles`). Copy it as
you like; it holds nothing that can run.

| file | holds |
| --- | --- |
| `bundle.json` | what it is, for which robot, how it was trained: below |
| `model.safetensors` | tensors, see [Tensors](#tensors) |

A bundle fits every robot file with the same `interface`. You may change all else in the file:
rewards, safety, simulation, time-outs.

## In every bundle

"""
SETTINGS = """
`training` has the settings of its algorithm, see [Algorithms, tasks, robots, bundles](lists.md).
In format 1, which some shipped bundles have, there was no `kind`, and a few keys had other names.
"""
PLANNER = """
`planner` has the keys of its kind, see [Planners](planners.md).
"""
TENSORS = """
## Tensors

Read them with `safetensors.torch.load_file`. NAME is that of a weight, such as `weight0`.

"""
METRICS = """
## metrics

What trainings of most algorithms write. There are more, by algorithm; all are columns of
`metrics.csv` in the run folder.

"""
DATASET = """# Dataset of recordings

`mbmrl bag` writes a folder, `mbmrl train --data` and `mbmrl evaluate --data` read it
([Recordings](../recordings.md)). It holds numbers only, in the units and the order of the robot
file.

| file | holds |
| --- | --- |
| `manifest.json` | for which robot, what was kept, what was dropped and why |
| `SESSION.safetensors` | the trajectories of one bag, each an unbroken piece |

## Trajectories

T is the number of control steps of the piece, S the number of channels of `state` in the robot
file, A the number of its joints. NNNNNN counts pieces from `000000`. A session of which nothing
was kept has a file without arrays. Read a file with `safetensors.torch.load_file`.

"""
MANIFEST = """
## manifest.json

`mbmrl bag --json FILE` writes the same to FILE. `sessions[]` is an entry of a list.

"""
LOST = """
## Reasons

Keys of `dropped_s`. [More about them](../recordings.md#from-a-bag-to-a-dataset).

"""
JSON = """# Output of --json

What commands write with `--json FILE`: one object. `tests.<test>.mean` is a key `mean`, in an
object with the name of the test, in an object `tests`. `<...>` stands for names of the run, `[]`
for each entry of a list. Numbers that are not finite are `null`.

Elsewhere: `mbmrl bag` writes [the manifest of the dataset](dataset.md#manifestjson), `mbmrl bench`
what is under [Benchmarks](../bench.md#keys).
"""


class Array(NamedTuple):
    """An array of a trajectory. shape: in letters."""

    shape: str
    type: torch.dtype
    meaning: str


ARRAYS = {
    'states': Array('T+1, S', torch.float32, 'channels in units, before and after each step'),
    'actions': Array(
        'T, A',
        torch.float32,
        'the mean command in effect; -1 is the lower limit of the robot file, 1 the upper one',
    ),
    'disturbance': Array('T', torch.int64, 'of simulated robots, what was wrong; recordings: -1'),
}
GROUPS = {
    'params/NAME': 'weights and biases, before any adaptation',
    'step_sizes/NAME': 'learned step sizes of the adaptation; of algorithms that learn some',
    'normalizer/NAME': 'means and standard deviations; of models, and of policies that use some',
    'actor/NAME': 'the policy beside a model, where `actor` is there',
    'critic/NAME': 'its critics',
}
METRIC_MEANINGS = {
    'environment_steps': 'control steps on the robot or in simulation, in all',
    'return_mean': 'of the episodes of the iteration',
    'return_std': 'their standard deviation',
    'return_policy': 'of the policy without noise',
    'rollout_steps': 'of an episode',
    'ended_early': 'episodes that did',
    'training_loss': 'of the model, in the fit',
    'validation_loss': 'on trajectories held out',
    'validation_before': 'before the fit of the iteration, on transitions held out',
    'validation_error': 'and after it; mean of the models',
    'validation_error_worst': 'of the worst model',
    'error_on_new_data': 'on what was just collected, before it was learned from',
    'epochs': 'of the fit',
    'step_size/<name>': 'learned step size of this weight, its mean',
    'imagined_return': 'in the models',
    'imagined_gain': 'what the inner steps add to it',
    'std': 'of the actions, on average',
    'kl_after': 'how far the last step moved the policy',
    'accepted_share': 'of its steps that were taken',
    'critic_loss': 'of the critics',
    'value': 'mean of the critics',
    'entropy': 'of the policy',
    'temperature': 'weight of the entropy',
    'rollout_length': 'of imagined rollouts',
    'updates': 'of the policy, in all',
    '<what>_s': 'seconds of the iteration that took: `collect`, `fit`, `improve`',
}


def format_pages() -> dict[str, str]:
    """Return the pages by name."""
    return {'bundle': _bundle_page(), 'dataset': _dataset_page(), 'json': _json_page()}


def unknown_metrics(metrics: Iterable[str]) -> list[str]:
    """Return the metrics that have no meaning here."""
    patterns = [re.sub('<.+?>', '.+', name) for name in METRIC_MEANINGS]
    return [name for name in metrics if not any(re.fullmatch(each, name) for each in patterns)]


def wrong_arrays(file: Path, spec: RobotSpec) -> Iterator[str]:
    """Yield what a file of trajectories has that is not as the page says."""
    arrays = load_file(file)
    pieces = {name.rpartition('/')[0] for name in arrays}
    if pieces != {f'{place:06d}' for place in range(len(pieces))}:
        yield f'pieces {sorted(pieces)}'
    for piece in pieces:
        steps = len(arrays[f'{piece}/actions'])
        sizes = {'T+1': steps + 1, 'T': steps, 'S': spec.state_size, 'A': spec.action_size}
        found = {name.rpartition('/')[2] for name in arrays if name.startswith(piece)}
        if found != ARRAYS.keys():
            yield f'{piece} has {sorted(found)}'
        for name, told in ARRAYS.items():
            array = arrays[f'{piece}/{name}']
            shape = [sizes[each] for each in told.shape.split(', ')]
            if [*array.shape] != shape or array.dtype != told.type:
                yield f'{piece}/{name}: {array.dtype} {[*array.shape]}'


def _bundle_page() -> str:
    shared = BundleHead.model_fields.keys() - {'kind'}
    text = BUNDLE + _rows(BundleHead) + SETTINGS
    for title, record, more in (('A model', BundleInfo, PLANNER), ('A policy', PolicyInfo, '')):
        text += f'\n## {title}\n\n{_rows(record, shared)}{more}'
    return text + TENSORS + _pairs('tensor', GROUPS) + METRICS + _pairs('key', METRIC_MEANINGS)


def _rows(record: type[BaseModel], left_out: Iterable[str] = ()) -> str:
    known = {*left_out}
    return settings_table(row for row in rows_of(record) if row.name not in known)


def _pairs(head: str, meanings: Mapping[str, str]) -> str:
    return table([head, 'meaning'], ([code(name), text] for name, text in meanings.items()))


def _dataset_page() -> str:
    arrays = []
    for name, told in ARRAYS.items():
        kind = str(told.type).removeprefix('torch.')
        arrays.append([code(f'NNNNNN/{name}'), f'[{told.shape}]', kind, told.meaning])
    manifest = ([code(row.name), row.type, row.meaning] for row in rows_of(Manifest))
    text = DATASET + table(['array', 'shape', 'type', 'meaning'], arrays)
    text += MANIFEST + table(['key', 'type', 'meaning'], manifest)
    return text + LOST + _pairs('reason', REASONS)


def _json_page() -> str:
    text = JSON
    for title, keys in SECTIONS.items():
        rows = (
            [code(name), key.type, key.meaning + ('; may be missing' if key.optional else '')]
            for name, key in keys.items()
        )
        text += f'\n## {title}\n\n{table(["key", "type", "meaning"], rows)}'
    return text
