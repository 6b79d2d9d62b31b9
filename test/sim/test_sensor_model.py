# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.sim.actuator_model import make_drive
from mbmrl_ros.sim.batch import BatchWorld
from mbmrl_ros.sim.disturbances import parse as parse_disturbance
from mbmrl_ros.sim.sensor_model import Senses, make_senses, turned
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot

ROBOT = load_robot('millirobot')
PARTS = 20
X = ROBOT.signals.index('pose:pose.position.x')
LEFT = ROBOT.signals.index('joint_states:position[left_legs]')
QUATERNION = [ROBOT.signals.index(f'pose:pose.orientation.{part}') for part in 'wxyz']


def robot(**sensing) -> RobotSpec:
    data = ROBOT.model_dump()
    data['simulation']['sensing'] = sensing
    return parse(RobotSpec, data, 'test')


def senses(**sensing) -> Senses:
    spec = robot(**sensing)
    made = make_senses(spec, 1, make_drive(spec, load_model(spec), 1, 100))
    assert made is not None
    made.reset(0, np.random.default_rng(0))
    return made


def read(made: Senses, first: float, count: int) -> np.ndarray:
    """Let every signal grow by one per part of a period, from first; return what is read."""
    said = []
    for period in range(count):
        times = first + PARTS * period + np.arange(PARTS)
        samples = np.repeat(times[:, None], len(ROBOT.signals), 1)
        samples[:, QUATERNION] = 1.0, 0.0, 0.0, 0.0
        made.read(0, samples, np.zeros(2))
        said.append(made.values[0].copy())
    return np.array(said)


def test_a_message_is_as_old_as_its_topic_s_delay():
    # 5 ms are a part of a period: motion capture is 10 ms old, the encoders are of the end.
    said = read(senses(pose={'delay_s': 0.01}), 0.0, 3)
    assert said[:, X].tolist() == [17, 37, 57]
    assert said[:, LEFT].tolist() == [19, 39, 59]


def test_delays_jitter_together_within_a_message():
    said = read(senses(pose={'delay_s': 0.05, 'jitter_s': 0.01}), 0.0, 400)
    age = 19 + 20 * np.arange(400) - said[:, X]
    # Ages are whole parts: rounding adds 1/12 to the variance of (10 ms / 5 ms)^2.
    assert age.mean() == pytest.approx(10, abs=0.4)
    assert age.var() == pytest.approx(4 + 1 / 12, rel=0.25)
    assert np.array_equal(said[:, X], said[:, X + 1])


def test_noise_and_resolution_of_fields():
    made = senses(
        pose={'noise': {'pose.position': 0.5}},
        joint_states={'resolution': {'position': 4.0}},
    )
    said = read(made, 0.0, 400)
    error = said[:, X] - (19 + 20 * np.arange(400))
    # Standard error of a standard deviation from 400 values: 3.5 %.
    assert error.std() == pytest.approx(0.5, rel=0.15)
    # Rounded to multiples of 4 from 19, 39, ...
    assert said[:3, LEFT].tolist() == [20, 40, 60]


def test_quaternions_turn_by_the_noise_and_keep_their_norm():
    said = read(senses(pose={'noise': {'pose.orientation': 0.02}}), 0.0, 400)[:, QUATERNION]
    assert np.linalg.norm(said, axis=1) == pytest.approx(np.ones(400))
    # The vector part of a small turn is half its angle.
    assert (2 * said[:, 1:]).std(0) == pytest.approx(np.full(3, 0.02), rel=0.15)


def test_a_small_turn_is_the_product_of_quaternions():
    half = np.sqrt(0.5)
    # A quarter turn about z, then 0.01 rad about the robot's x: compare with the product.
    a = 0.005
    expected = np.array([half * np.cos(a), half * np.sin(a), half * np.sin(a), half * np.cos(a)])
    result = turned(np.array([half, 0, 0, half]), np.array([0.01, 0, 0]))
    assert result == pytest.approx(expected, abs=1e-6)


def test_dropouts_repeat_the_last_values_as_often_and_as_long_as_asked():
    said = read(senses(pose={'lost': 0.1, 'lost_periods': 4}), 0.0, 4000)
    still = np.diff(said[:, X]) == 0
    # Found again with 1/4 and lost with 1/10: 0.1 / (0.1 + 0.25) of the time without.
    assert still.mean() == pytest.approx(0.1 / 0.35, abs=0.05)
    starts = (still[1:] & ~still[:-1]).sum()
    assert still.sum() / starts == pytest.approx(4.0, rel=0.2)
    assert np.all(np.diff(said[:, LEFT]) == PARTS)


def test_dropouts_are_as_often_and_as_long_where_a_period_has_several_steps():
    spec = robot(pose={'lost': 0.1, 'lost_periods': 4})
    # Five steps of the world in a period.
    made = make_senses(spec, 1, make_drive(spec, load_model(spec), 1, 20))
    made.reset(0, np.random.default_rng(0))
    said = []
    for step in range(20_000):
        samples = np.full((4, len(spec.signals)), float(step))
        samples[:, QUATERNION] = 1.0, 0.0, 0.0, 0.0
        made.read(0, samples, np.zeros(2))
        said.append(made.values[0, X])
    still = np.diff(said) == 0
    assert still.mean() == pytest.approx(0.1 / 0.35, abs=0.05)
    starts = (still[1:] & ~still[:-1]).sum()
    assert still.sum() / starts == pytest.approx(5 * 4.0, rel=0.2)


def test_training_leaves_dropouts_out():
    spec = robot(pose={'lost': 0.9, 'lost_periods': 10})
    batch = BatchWorld(spec, 2, threads=1, dropouts=False)
    batch.reset(np.random.default_rng(0))
    before = batch.signals()
    for _ in range(5):
        batch.step(np.full((2, 2), 400.0))
        assert (batch.signals()[:, X] != before[:, X]).all()
        before = batch.signals()
    batch.close()


def test_every_row_of_a_batch_equals_a_single_world_to_the_bit():
    batch, worlds = BatchWorld(ROBOT, 3, threads=1), [World(ROBOT) for _ in range(3)]
    batch.reset(np.random.default_rng(0))
    rng = np.random.default_rng(0)
    for world in worlds:
        world.reset(rng)
    changes = {
        5: {0: ['terrain:gravel'], 1: ['weak_battery:battery', 'payload:markers']},
        12: {0: [], 2: ['missing_leg:right_front_leg', 'pose_tilt:roll']},
    }
    assert np.array_equal(batch.signals(), [world.signals() for world in worlds])
    for step, commands in enumerate(np.random.default_rng(1).uniform(0, 800, (25, 3, 2))):
        for row, texts in changes.get(step, {}).items():
            wrong = [parse_disturbance(text) for text in texts]
            batch.set_disturbances(row, wrong)
            worlds[row].set_disturbances(wrong)
        batch.step(commands)
        for world, command in zip(worlds, commands):
            world.step(command)
        assert np.array_equal(batch.signals(), [world.signals() for world in worlds])
        assert np.array_equal(batch.states[:, 1:14], [world.data.qpos for world in worlds])
    assert batch.healthy.all() and all(world.healthy for world in worlds)
    batch.close()


def test_a_restored_world_goes_on_as_before_but_for_the_noise():
    world = World(ROBOT)
    world.reset(np.random.default_rng(0))
    commands = np.random.default_rng(1).uniform(0, 800, (20, 2))
    for command in commands[:10]:
        world.step(command)
    saved, said = world.save(), world.signals()

    def run() -> np.ndarray:
        for command in commands[10:]:
            world.step(command)
        return world.data.qpos.copy()

    first = run()
    world.restore(saved)
    assert np.array_equal(world.signals(), said)
    assert np.array_equal(run(), first)


def test_a_field_that_the_topic_lacks_is_refused():
    with pytest.raises(UserError, match=r"sensing.pose.noise: no signal 'position'"):
        senses(pose={'noise': {'position': 0.1}})
