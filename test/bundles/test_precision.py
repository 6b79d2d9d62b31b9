# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In which precision a controller plans."""

import pytest
import torch

from mbmrl_ros.bundles.dynamics import Bundle, load_bundle, on_device
from mbmrl_ros.bundles.precision import planning_in, rounding_error
from mbmrl_ros.config import UserError
from mbmrl_ros.models import device, kinds
from mbmrl_ros.models.device import INT8_FEATURE, cpu_features
from mbmrl_ros.models.kinds import network_of
from mbmrl_ros.spec.robot import load_robot

CPU = torch.device('cpu')
has_int8 = pytest.mark.skipif(INT8_FEATURE not in cpu_features(), reason='needs ' + INT8_FEATURE)


@pytest.fixture(scope='module')
def millirobot() -> Bundle:
    return load_bundle('millirobot/path/grbal', load_robot('millirobot'))


@pytest.fixture
def processor(monkeypatch):
    """Return what makes the processor one with some features."""

    def features(*names: str) -> None:
        for each in (device, kinds):
            monkeypatch.setattr(each, 'cpu_features', lambda: frozenset(names))

    return features


def chosen(bundle: Bundle, wanted: str) -> tuple[str, str]:
    planned_in, line = planning_in(bundle, wanted, CPU)
    return network_of(planned_in.dynamics).precision, line


@has_int8
def test_int8_is_taken_and_the_user_is_told_how_far_it_is_off(millirobot):
    precision, line = chosen(millirobot, 'int8')
    assert precision == 'int8' and 'planning in int8' in line and '%' in line
    exact, rounded = (on_device(millirobot, CPU, each) for each in ('float32', 'int8'))
    # Weights and activations of three layers: sqrt(3 (0.4^2 + 1.3^2)) = 2.4 % of a random network
    # (test/networks/test_int8.py); twice that, as a trained one has outliers.
    assert 1e-3 < rounding_error(exact, rounded) < 0.048


@pytest.mark.parametrize(
    ('features', 'expected'), [((INT8_FEATURE,), 'float32'), (('avx512_bf16',), 'bfloat16')]
)
def test_auto_never_takes_int8(millirobot, processor, features, expected):
    processor(*features)
    assert chosen(millirobot, 'auto') == (expected, '')


def test_a_processor_without_it_plans_in_float32_and_the_user_is_told(millirobot, processor):
    processor('avx2')
    precision, line = chosen(millirobot, 'int8')
    assert precision == 'float32' and INT8_FEATURE in line and '\n' not in line
    with pytest.raises(UserError, match=INT8_FEATURE):
        on_device(millirobot, CPU, 'int8')


def test_a_recurrent_model_plans_in_float32(processor):
    processor(INT8_FEATURE)
    bundle = load_bundle('half_cheetah/disabled_joint/rebal', load_robot('half_cheetah'))
    precision, line = chosen(bundle, 'int8')
    assert precision == 'float32' and 'feed-forward' in line
    assert chosen(bundle, 'auto')[0] == 'float32'


def test_what_is_asked_for_is_taken(millirobot):
    assert chosen(millirobot, 'float32') == ('float32', '')
    assert chosen(millirobot, 'bfloat16') == ('bfloat16', '')
    with pytest.raises(UserError, match=r"unknown precision 'half'.*int8"):
        planning_in(millirobot, 'half', CPU)


def test_exact_predictions_are_not_off(millirobot):
    exact = on_device(millirobot, CPU, 'float32')
    assert rounding_error(exact, exact) == 0.0
    # bfloat16 rounds at 2^-8 = 0.4 %, some ten times on the way (test_packed.py).
    assert 1e-3 < rounding_error(exact, on_device(millirobot, CPU, 'bfloat16')) < 0.02
