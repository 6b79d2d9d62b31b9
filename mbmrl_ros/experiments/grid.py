# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a figure's grid is made of: models, methods, settings, variants; a part of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Model:
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
    changes: Mapping[str, Any] = field(default_factory=dict)
    by_task: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A model, and how it adapts (algorithms/adapters.py). label, colour: in plots.

    planner: parameters that are its own at test time, whatever was asked for on the command line.
    """

    label: str
    model: str
    adaptation: str
    colour: str
    planner: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A task and one of its tests. label: in plots; default: both names."""

    task: str
    test: str
    label: str = ''

    @property
    def title(self) -> str:
        """How the setting is called in plots."""
        return self.label or f'{self.task}, {self.test}'


@dataclass(frozen=True)
class Variant:
    """A point on a figure's own axis: what differs in the training, and at test time.

    training: key=value, of the settings. distribution: of the training schedules
    (experiments/distributions.py). at_test: fields of bundle.json. kind: of the planner; where it
    is another one than the bundle's, as many evaluations per tick. planner: its parameters.
    """

    name: str = ''
    training: tuple[str, ...] = ()
    distribution: str = ''
    at_test: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ''
    planner: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
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
    settings: tuple[Setting, ...]
    methods: tuple[str, ...]
    variants: tuple[Variant, ...] = (Variant(),)
    seeds: tuple[int, ...] = (0, 1, 2)
    curve: bool = False
    differs: str = ''
    test_seed: int = 100
    episodes: int = 0
    steps: int = 0
    scored_from: int = 0


@dataclass(frozen=True)
class Selection:
    """What was asked for on the command line; empty: all that the figure has.

    assignments: key=value of the training settings, for one model model:key=value. episodes,
    steps, candidates: of every measurement; None: the figure's or the task's, the bundle's.
    """

    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    assignments: tuple[str, ...] = ()
    episodes: int | None = None
    steps: int | None = None
    candidates: int | None = None
    quick: bool = False


def slug(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r'[^A-Za-z0-9.]+', '_', text).strip('_')
