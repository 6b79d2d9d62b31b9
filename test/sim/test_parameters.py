# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Factors of the physics change what they name, by that much, and nothing else."""

import numpy as np
import pytest
import torch

from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.sim.parameters import Parameters, is_parameter
from mbmrl_ros.sim.world import prepare_model
from mbmrl_ros.spec.robot import load_robot

MODEL = prepare_model(load_robot('hopper'), warm_start=False)
ARRAYS = ('body_mass', 'body_inertia', 'geom_friction', 'dof_damping')


@pytest.mark.parametrize(
    ('name', 'array', 'place'),
    [
        ('mass:thigh', 'body_mass', (MODEL.body('thigh').id,)),
        ('inertia_y:leg', 'body_inertia', (MODEL.body('leg').id, 1)),
        ('sliding_friction:foot_geom', 'geom_friction', (MODEL.geom('foot_geom').id, 0)),
        ('rolling_friction:floor', 'geom_friction', (MODEL.geom('floor').id, 2)),
        ('damping:foot_joint', 'dof_damping', (MODEL.joint('foot_joint').dofadr[0],)),
    ],
)
def test_a_factor_multiplies_one_number_of_one_row(name, array, place):
    first, second = Parameters(MODEL, (name,)).multiplied(np.array([[3.0], [1.0]]))
    for kind in ARRAYS:
        before = getattr(MODEL, kind)
        assert np.array_equal(getattr(second, kind), before)
        changed = np.argwhere(getattr(first, kind) != before).tolist()
        assert changed == ([list(place)] if kind == array else [])
    assert getattr(first, array)[place] == pytest.approx(3 * getattr(MODEL, array)[place])


def test_what_the_solver_derives_from_masses_follows_them():
    (heavy,) = Parameters(MODEL, ('mass:torso',)).multiplied(np.array([[2.0]]))
    gained = MODEL.body('torso').mass[0]
    world = heavy.body_subtreemass[0] - MODEL.body_subtreemass[0]
    assert world == pytest.approx(gained)
    assert heavy.body('torso').invweight0[0] < MODEL.body('torso').invweight0[0]


@pytest.mark.parametrize('name', ['hopper/random_parameters', 'walker2d/random_parameters'])
def test_the_random_parameters_of_a_task_are_all_there_are_of_its_robot(name):
    task = load_meta_task(name)
    spec = load_robot('hopper' if name.startswith('hopper') else 'walker2d_100hz')
    model = prepare_model(spec, warm_start=False)
    (changed,) = Parameters(model, task.goals.names).multiplied(
        np.full((1, len(task.goals.names)), 2.0)
    )
    for array in ARRAYS:
        before, after = getattr(model, array), getattr(changed, array)
        # The published code scales everything; what is 0 stays 0.
        assert np.allclose(after, 2 * before), array
    assert all(is_parameter(goal) for goal in task.goals.names)
    # Drawn as 1.5^U(-3, 3), dampings 1.3^U(-3, 3); held out is another mass of the torso.
    drawn = task.goals.draw(torch.Generator().manual_seed(0), 500).double().log()
    bases = [1.3 if goal.startswith('damping') else 1.5 for goal in task.goals.names]
    exponents = (drawn / torch.tensor(bases, dtype=torch.float64).log()).abs()
    assert (exponents.max(0).values <= 3 + 1e-4).all() and (exponents.max(0).values > 2.9).all()
    held_out = task.goals.held_out(torch.Generator().manual_seed(0), 500).double().log()
    assert (
        task.goals.names[0] == 'mass:torso' and held_out[:, 0].abs().min() > 3 * np.log(1.5) - 1e-4
    )
    assert not is_parameter('direction')


def test_a_parameter_that_does_not_exist_is_answered_with_the_valid_ones():
    with pytest.raises(UserError, match="parameter 'weight:torso'"):
        Parameters(MODEL, ('weight:torso',))
    with pytest.raises(UserError, match="no such part; did you mean 'torso'"):
        Parameters(MODEL, ('mass:tors',))
    with pytest.raises(UserError, match='no such part'):
        Parameters(MODEL, ('damping:thigh',))
