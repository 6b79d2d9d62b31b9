# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from mbmrl_ros.config import parse
from mbmrl_ros.robot.command import from_units, to_units
from mbmrl_ros.spec.robot import RobotSpec, load_robot

SPEC = load_robot('half_cheetah')


def test_ends_of_the_scale_are_the_limits():
    assert np.array_equal(to_units(SPEC, np.ones(6)), SPEC.action.upper)
    assert np.array_equal(to_units(SPEC, -np.ones(6)), SPEC.action.lower)


def test_units_and_scale_are_inverse():
    actions = np.random.default_rng(0).uniform(-1, 1, (5, 6))
    assert np.allclose(from_units(SPEC, to_units(SPEC, actions)), actions, atol=1e-15)


def test_zero_is_the_middle_and_limits_need_not_be_symmetric():
    data = SPEC.model_dump()
    data['action'] |= {'lower': (-10.0,) * 6, 'upper': (30.0,) * 6}
    spec = parse(RobotSpec, data, 'test')
    assert np.array_equal(to_units(spec, np.zeros(6)), np.full(6, 10.0))
    # A quarter of the way from -10 to 30 is 0; from -1 to 1 it is -0.5.
    assert np.array_equal(from_units(spec, np.zeros(6)), np.full(6, -0.5))


@pytest.mark.parametrize('shape', [(), (1,), (5,), (6, 1)])
def test_a_value_is_not_spread_over_joints_it_is_not_meant_for(shape):
    for scale in (to_units, from_units):
        with pytest.raises(ValueError, match='half_cheetah has 6 joints'):
            scale(SPEC, np.zeros(shape))
