# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import mujoco
import numpy as np
import pytest

from mbmrl_ros.sim.disturbances import BLOCKS, disturbed, parse
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

ROBOT = load_robot('half_cheetah_pier')
PUBLISHED = load_robot('half_cheetah_pier_published')


def faulty(*texts: str) -> mujoco.MjModel:
    return disturbed(ROBOT, load_model(ROBOT), [parse(text) for text in texts])[0]


def dampings(model: mujoco.MjModel) -> np.ndarray:
    return np.array([model.dof_damping[model.joint(name).dofadr[0]] for name in BLOCKS])


def frictions(model: mujoco.MjModel) -> np.ndarray:
    return np.array([model.geom(name).friction[0] for name in BLOCKS])


def masses(model: mujoco.MjModel) -> tuple[float, float]:
    """Return what the robot and one block weigh [kg]."""
    blocks = [model.body(name).mass[0] for name in BLOCKS]
    assert max(blocks) == min(blocks)
    return model.body_mass.sum() - sum(blocks), blocks[0]


def test_the_robot_weighs_what_it_weighs_elsewhere_and_the_blocks_are_scaled_with_it():
    own, published = masses(load_model(ROBOT)), masses(load_model(PUBLISHED))
    assert own == pytest.approx((14.0, 6.61))
    # As in the published model, of which settotalmass makes 14 kg in all.
    assert published == pytest.approx((2.93, 1.384))
    assert published[0] + 8 * published[1] == pytest.approx(14.0, abs=0.01)
    assert own[1] / own[0] == pytest.approx(published[1] / published[0], rel=1e-3)


def test_links_keep_their_shares_of_the_mass_and_inertia():
    plain, scaled = load_model(load_robot('half_cheetah')), load_model(PUBLISHED)
    for name in ('torso', 'bthigh', 'ffoot'):
        for quantity in ('mass', 'inertia'):
            one, two = (getattr(model.body(name), quantity) for model in (plain, scaled))
            assert two / one == pytest.approx(2.93 / 14.0)


@pytest.mark.parametrize('spec', [ROBOT, PUBLISHED], ids=lambda spec: spec.name)
def test_a_free_block_sinks_by_its_weight_over_its_stiffness_and_starts_there(spec):
    world = World(spec)
    world.reset(np.random.default_rng(0))
    for _ in range(500):
        world.step(np.zeros(6))
    pier = spec.simulation.pier
    # m g / k: 0.0904 m, in both.
    sag = pier.block_mass_kg * 9.81 / pier.stiffness_n_m
    assert sag == pytest.approx(0.0904, abs=2e-4)
    far = [world.data.joint(name).qpos[0] for name in (BLOCKS[0], *BLOCKS[2:])]
    assert far == pytest.approx([-sag] * 7, abs=2e-3)
    # Its own sinks further: to its stop.
    assert world.data.joint(BLOCKS[1]).qpos[0] < -0.14


def test_an_undamped_block_swings_as_a_mass_on_a_spring():
    world = World(ROBOT)
    world.reset(np.random.default_rng(0))
    world.set_disturbances([parse('block_damping:block_5:0'), parse('block_damping:block_4:48')])
    for name in BLOCKS[4:6]:
        world.data.joint(name).qpos[0] = -0.0904 + 0.04
        world.data.joint(name).qvel[0] = 0.0
    tracks = []
    for _ in range(300):
        world.step(np.zeros(6))
        tracks.append([world.data.joint(name).qpos[0] + 0.0904 for name in BLOCKS[4:6]])
    damped, free = np.array(tracks).T
    down = np.flatnonzero((free[:-1] > 0) & (free[1:] <= 0))
    # 2 pi sqrt(m / k) = 0.603 s in periods of 0.01 s; with a damper of 48 N s/m the swing is down
    # by exp(-48 / (2 * 6.61) * 3) = 2e-5 after 3 s.
    assert np.diff(down).mean() == pytest.approx(2 * math.pi * math.sqrt(6.61 / 717) / 0.01, abs=1)
    assert np.abs(free[-60:]).max() > 0.03 and np.abs(damped[-60:]).max() < 1e-3


def test_drawn_blocks_are_within_their_ranges_and_the_same_for_the_same_number():
    both, again, damping = (
        faulty(f'blocks:{target}:7')
        for target in ('damping_and_friction', 'damping_and_friction', 'damping')
    )
    assert np.array_equal(dampings(both), dampings(again))
    assert np.array_equal(frictions(both), frictions(again))
    assert np.array_equal(dampings(both), dampings(damping))
    assert frictions(damping).tolist() == [0.4] * 8
    assert len(set(dampings(both))) == len(set(frictions(both))) == 8
    drawn = [faulty(f'blocks:damping_and_friction:{number}') for number in range(40)]
    for values, low, high in ((dampings, 0, 48), (frictions, 0.2, 0.6)):
        pooled = np.concatenate([values(model) for model in drawn])
        assert low <= pooled.min() and pooled.max() <= high
        # Uniform: the mean of 320 draws is within four standard errors of the middle.
        assert abs(pooled.mean() - (low + high) / 2) < 4 * (high - low) / math.sqrt(12 * 320)


def test_one_block_or_all_can_be_given_a_damping_and_a_friction():
    model = faulty('block_damping:all:3', 'block_damping:block_2:9', 'block_friction:block_6:0.1')
    assert dampings(model).tolist() == [3, 3, 9, 3, 3, 3, 3, 3]
    assert frictions(model).tolist() == pytest.approx([0.4] * 6 + [0.1, 0.4])


def test_the_friction_of_a_contact_is_that_of_the_block():
    world = World(ROBOT)
    world.reset(np.random.default_rng(0))
    world.set_disturbances([parse('block_friction:all:0.15')])
    for _ in range(100):
        world.step(np.zeros(6))
    assert world.data.ncon > 0
    assert all(contact.friction[0] == pytest.approx(0.15) for contact in world.data.contact)


def test_blocks_touch_the_robot_and_not_each_other():
    world = World(ROBOT)
    world.reset(np.random.default_rng(0))
    world.data.joint(BLOCKS[3]).qpos[0] = 0.1
    seen = set()
    for _ in range(50):
        world.step(np.zeros(6))
        for contact in world.data.contact:
            seen.add(tuple(sorted(world.model.geom(geom).name in BLOCKS for geom in contact.geom)))
    assert seen == {(False, True)}
