# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
from itertools import combinations

import numpy as np
import pytest

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.experiments import policy_studies, search_studies
from mbmrl_ros.experiments.double_integrator import SOURCES
from mbmrl_ros.experiments.studies import FIGURES, METHODS
from mbmrl_ros.experiments.toy import ESTIMATORS
from mbmrl_ros.reports.styles import STYLES, style_of

# A biased arm is drawn as its algorithm (search_pages.biases).
ARMS = [
    *policy_studies.ARMS,
    *(name for name, arm in search_studies.ARMS.items() if not arm.bias),
]
STUDIES = policy_studies.STUDIES | search_studies.STUDIES
# Linear RGB as people without long, and without middle wavelengths see it (Machado 2009).
SIGHTS = {
    'all cones': np.eye(3),
    'no long': np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    'no middle': np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])
# Of CIELAB: 2 can just be seen side by side.
APART = 12


def lab(colour, sight):
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(sight @ linear, 0, 1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(first, second):
    """Return the distance of two colours for those who see it least."""
    return min(np.linalg.norm(lab(first, s) - lab(second, s)) for s in SIGHTS.values())


def test_white_and_black_are_a_hundred_apart_for_everyone():
    assert apart('#ffffff', '#000000') == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize('names', [ARMS, ALGORITHMS, METHODS, SOURCES, ESTIMATORS])
def test_every_method_has_a_look_of_its_own(names):
    assert set(names) <= STYLES.keys()
    looks = [style_of(name) for name in names]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize('name', STUDIES)
def test_arms_of_a_study_are_told_apart_with_every_kind_of_sight(name):
    arms = [arm for arm in STUDIES[name].arms if arm in STYLES]
    for one, other in combinations(map(style_of, arms), 2):
        assert one.line != other.line or apart(one.colour, other.colour) > APART


@pytest.mark.parametrize('name', FIGURES)
def test_methods_of_a_figure_have_colours_of_their_own(name):
    colours = [style_of(method).colour for method in FIGURES[name].methods]
    assert len(set(colours)) == len(colours)


def test_a_method_that_nobody_listed_keeps_its_look_and_takes_no_others():
    assert style_of('my_method') == style_of('my_method')
    unknown = {style_of(f'method_{number}') for number in range(200)}
    assert len(unknown) > 20
    assert not unknown & set(STYLES.values())
