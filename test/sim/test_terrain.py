# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import math

import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.sim.disturbances import Disturbance, check, disturbed
from mbmrl_ros.sim.disturbances import parse as fault
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.terrain import GRID, PROFILE, heights_at, rolling
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot

ROBOT = load_robot('half_cheetah_slopes')
PLAIN = load_robot('half_cheetah')


def heights(text: str | None) -> np.ndarray:
    """Return the heights [m] of a model's ground along x, as MuJoCo has it."""
    model = disturbed(ROBOT, load_model(ROBOT), [fault(text)] if text else [])[0]
    field, geom = model.hfield(PROFILE), model.geom(PROFILE)
    rows = field.data * field.size[2] + geom.pos[2]
    assert rows.shape == (2, len(GRID)) and np.array_equal(*rows)
    return rows[0]


def grades(text: str) -> list[float]:
    """Return the different grades of a ground [degrees], in the order of x."""
    steps = np.degrees(np.arctan(np.diff(heights(text)) / np.diff(GRID)))
    return [round(float(grade), 1) for grade in steps[np.insert(abs(np.diff(steps)) > 0.1, 0, 1)]]


def test_ground_is_level_without_a_disturbance():
    assert np.abs(heights(None)).max() < 1e-6


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        # atan(1 / 18), atan(4 / 18), atan(0.6 / 3), atan(0.55 / 3).
        ('terrain:gentle', [0.0, 3.2, 0.0]),
        ('terrain:steep', [0.0, 12.5, 0.0]),
        ('terrain:hill', [0.0, 11.3, -11.3, 0.0]),
        ('terrain:basin', [0.0, -10.4, 10.4, 0.0]),
        ('ramp:x:-6', [0.0, -6.0]),
        ('ramp:x:12', [0.0, 12.0]),
    ],
)
def test_slopes_have_the_angles_that_they_are_named_by(text, expected):
    assert grades(text) == expected


def test_slopes_begin_and_end_where_the_robot_file_says():
    gentle = heights('terrain:gentle')
    # From 1 m on 1 m up over 18 m, then level; a float32 of 24 m is right to 1e-6.
    expected = np.clip((GRID - 1.0) / 18.0, 0.0, 1.0)
    assert gentle == pytest.approx(expected, abs=2e-6)
    assert heights_at(np.array([0.0, 1.0, 2.5, 4.0, 99.0]), 1.0, ((3.0, 0.6),)).tolist() == (
        pytest.approx([0.0, 0.0, 0.3, 0.6, 0.6])
    )


def test_rolling_ground_is_as_high_as_the_published_one_and_every_number_another():
    seen = set()
    for number in range(200):
        lengths, rises = np.array(rolling(number)).T
        height = np.ptp(np.concatenate([[0.0], np.cumsum(rises)]))
        assert lengths.tolist() == [2.0] * 6 and 0.2 <= height <= 1.0
        assert rises[0] > 0 and rises[1] > 0
        # Before scaling, steps are between 0.2 and 0.6.
        assert np.abs(rises).max() / np.abs(rises).min() < 3.0
        seen.add(tuple(rises))
        assert rolling(number) == rolling(number)
    assert len(seen) == 200


def steepest(number: int) -> float:
    return math.degrees(math.atan(max(rise / length for length, rise in rolling(number))))


def test_rolling_ground_is_as_steep_as_the_published_one():
    # Of the published distribution, over 1e5 draws: median of the steepest uphill piece 6.2
    # degrees, 95th percentile 13.4; of 400 draws here, within three standard errors or so.
    found = [steepest(number) for number in range(400)]
    assert np.median(found) == pytest.approx(6.2, abs=0.9)
    assert np.quantile(found, 0.95) == pytest.approx(13.4, abs=1.5)


def test_on_level_ground_the_robot_stands_as_on_gymnasiums_floor():
    heights = []
    for spec in (PLAIN, ROBOT):
        world = World(spec)
        world.reset(np.random.default_rng(0))
        for _ in range(300):
            world.step(np.zeros(6))
        heights.append(world.signals()[spec.signals.index('odom:pose.pose.position.z')])
    assert heights[0] == pytest.approx(heights[1], abs=0.01)


def test_on_a_slope_the_robot_is_carried_by_it():
    world = World(ROBOT)
    world.reset(np.random.default_rng(0))
    world.data.qpos[0] = 7.0
    world.set_disturbances([fault('ramp:x:10')])
    for _ in range(100):
        world.step(np.zeros(6))
    x, z = world.data.body('torso').xpos[[0, 2]]
    # It stands about 0.57 m above level ground, and may have slid.
    assert z - math.tan(math.radians(10)) * (x - 1.0) == pytest.approx(0.57, abs=0.1)


def test_a_robot_is_put_on_top_of_ground_that_comes_up_under_it():
    world = World(ROBOT)
    world.reset(np.random.default_rng(0))
    world.data.qpos[0] = 5.0
    before = float(world.data.qpos[1])
    world.set_disturbances([fault('terrain:steep')])
    # 0.8 m ahead of it the ground is (5.8 - 1) * 4 / 18 m high.
    assert world.data.qpos[1] - before == pytest.approx(4.8 * 4 / 18, abs=1e-5)
    for _ in range(50):
        world.step(np.zeros(6))
        assert np.abs(world.data.qvel).max() < 15.0
    x, high = world.data.qpos[:2].copy()
    world.set_disturbances([])
    # What it loses is the ground 0.8 m behind it, where it falls least.
    assert high - world.data.qpos[1] == pytest.approx((x - 0.8 - 1.0) * 4 / 18, abs=1e-3)


def test_only_the_heights_of_the_new_ground_differ():
    flat, steep = load_model(ROBOT), disturbed(ROBOT, load_model(ROBOT), [fault('ramp:x:5')])[0]
    assert steep.hfield_size.tolist() == flat.hfield_size.tolist()
    assert np.array_equal(steep.geom_rbound, flat.geom_rbound)
    assert np.array_equal(steep.geom_aabb, flat.geom_aabb)


def test_gravity_turns_on_slopes_too_and_a_sledge_is_for_crawlers_only():
    model = disturbed(ROBOT, load_model(ROBOT), [fault('slope:x:30')])[0]
    assert model.opt.gravity == pytest.approx([-9.81 / 2, 0.0, -9.81 * math.sqrt(3) / 2])
    with pytest.raises(UserError, match='pulled on half_cheetah_slopes has no target'):
        check(ROBOT, Disturbance('pulled', 'sledge', 0.02))


def test_profiles_of_an_own_robot_file_are_disturbances():
    data = ROBOT.model_dump()
    data['simulation']['slopes'] = {'begin_m': 2.0, 'profiles': {'step': ((0.2, 0.1),)}}
    own = parse(RobotSpec, data, 'test')
    model = disturbed(own, load_model(own), [fault('terrain:step')])[0]
    top = model.hfield(PROFILE).data.max() * model.hfield(PROFILE).size[2]
    assert top + model.geom(PROFILE).pos[2] == pytest.approx(0.1, abs=2e-6)
    with pytest.raises(UserError, match=r"no target 'hill'.*valid: step"):
        check(own, fault('terrain:hill'))


def test_the_floor_of_the_model_file_touches_nothing_any_more():
    model = load_model(ROBOT)
    floor = model.geom('floor')
    assert floor.type[0] == mujoco.mjtGeom.mjGEOM_PLANE
    assert floor.contype[0] == floor.conaffinity[0] == 0
