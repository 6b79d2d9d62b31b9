# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All experiments of experiments.yaml: models, methods, and the grid of each figure."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mbmrl_ros.config import Config, parse, read_yaml


class Model(Config):
    """What is trained, by a recipe of config/training.

    start_from: the model whose finished training gives data and weights; empty: none. with_data:
    or its weights alone, and all data are collected. goes_on: it collects more than it was given.
    on_test: trained on the schedules of the test that it is for. times: iterations, in those of
    the recipe. changes: of its settings, on every task; by_task: on one.
    """

    algorithm: str
    recipe: str = 'default'
    start_from: str = ''
    with_data: bool = True
    goes_on: bool = False
    on_test: bool = False
    times: float = 1
    changes: dict[str, Any] = Field(default_factory=dict)
    by_task: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Method(Config):
    """A model, and how it adapts (algorithms/adapters.py). label: in plots.

    planner: parameters that are its own at test time, whatever was asked for on the command line.
    """

    label: str
    model: str
    adaptation: str = 'none'
    planner: dict[str, Any] = Field(default_factory=dict)


class Setting(Config):
    """A task and one of its tests. label: in plots; default: both names."""

    task: str
    test: str
    label: str = ''

    @property
    def title(self) -> str:
        """How the setting is called in plots."""
        return self.label or f'{self.task}, {self.test}'


class Variant(Config):
    """A point on a figure's own axis: what differs in the training, and at test time.

    training: key=value, of the settings. distribution: of the training schedules
    (experiments/distributions.py). at_test: fields of bundle.json. kind: of the planner; where it
    is another one than the bundle's, as many evaluations per tick. planner: its parameters.
    """

    name: str = ''
    training: tuple[str, ...] = ()
    distribution: str = ''
    at_test: dict[str, Any] = Field(default_factory=dict)
    kind: str = ''
    planner: dict[str, Any] = Field(default_factory=dict)


class Figure(Config):
    """An experiment: methods x settings x variants x seeds.

    draw: which plot and table it becomes (experiments/plots.py). curve: over the iterations of
    the training, not only with the last bundle. differs: from the paper, in words; empty where it
    has no such figure. test_seed: of the episodes; start states are the same for every method.
    episodes, steps: of the measurements that no other figure shares, those of variants and of
    earlier iterations; 0: as all others. scored_from: the first moment whose error counts,
    where variants have pasts of other lengths.
    """

    title: str
    draw: Literal['errors', 'curve', 'normalised', 'variants', 'recovery']
    settings: tuple[Setting, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(min_length=1)
    variants: tuple[Variant, ...] = (Variant(),)
    seeds: tuple[int, ...] = (0, 1, 2)
    curve: bool = False
    differs: str = ''
    test_seed: int = 100
    episodes: int = 0
    steps: int = 0
    scored_from: int = 0


class Studies(Config):
    """The file as a whole."""

    models: dict[str, Model]
    methods: dict[str, Method]
    figures: dict[str, Figure]


def load_studies() -> Studies:
    """Return all experiments, groups and sweeps written out."""
    path = Path(__file__).with_name('experiments.yaml')
    written = read_yaml(path)
    settings, groups = written.pop('settings'), written.pop('groups')
    for figure in written['figures'].values():
        for key in ('settings', 'methods'):
            figure[key] = [name for one in figure[key] for name in groups.get(one, [one])]
        figure['settings'] = [settings[name] for name in figure['settings']]
        if 'sweep' in figure:
            figure['variants'] = _sweep(figure.pop('sweep'))
    return parse(Studies, written, str(path))


def _sweep(values: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Return variants of MPPI, one for every combination of values of its parameters."""
    points = [dict(zip(values, point)) for point in itertools.product(*values.values())]
    return [
        {'name': ', '.join(f'{key} {value:g}' for key, value in point.items()), 'kind': 'mppi',
         'planner': point}
        for point in points
    ]  # fmt: skip


def slug(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r'[^A-Za-z0-9.]+', '_', text).strip('_')


STUDIES = load_studies()
MODELS, METHODS, FIGURES = STUDIES.models, STUDIES.methods, STUDIES.figures
