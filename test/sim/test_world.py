# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.sim import disturbances
from mbmrl_ros.sim.disturbances import Disturbance, Kind
from mbmrl_ros.sim.sensors import model_path
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import RobotSpec, load_robot, robot_names

SPEC = load_robot('half_cheetah')
UPPER = np.array(SPEC.action.upper)
DEAD = Disturbance('disabled_joint', 'bthigh')


def with_simulation(period_s: float = SPEC.period_s, **changes: object) -> RobotSpec:
    simulation = SPEC.simulation.model_copy(update=changes)
    return SPEC.model_copy(update={'period_s': period_s, 'simulation': simulation})


def started(spec: RobotSpec = SPEC, seed: int = 0, warm_start: bool = False) -> World:
    world = World(spec, warm_start)
    world.reset(np.random.default_rng(seed))
    return world


def commands(steps: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (steps, 6)) * UPPER


@pytest.fixture
def gravity_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that edits the model: gravity [m/s^2] forwards, as on a slope."""

    def apply(spec, model, gain, disturbance):
        model.opt.gravity[0] = disturbance.value

    kind = Kind(lambda spec: ['world'], (-np.inf, np.inf), apply, edits_model=True)
    monkeypatch.setitem(disturbances.KINDS, 'gravity', kind)


def test_gymnasium_runs_through_the_same_states():
    world = started(with_simulation(0.05, physics_steps=5), warm_start=True)
    env = HalfCheetahEnv()
    mujoco.mj_resetData(env.model, env.data)
    env.set_state(world.data.qpos.copy(), world.data.qvel.copy())
    actions = np.random.default_rng(1).uniform(-1, 1, (200, 6)).astype(np.float32)
    for action in actions:
        expected = env.step(action)[0]
        world.step(action * UPPER)
        world.signals()
        ours = np.concatenate([world.data.qpos[1:], world.data.qvel])
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-8)
    assert world.data.qpos[0] == pytest.approx(env.data.qpos[0], abs=1e-8)
    env.close()


def test_looking_at_the_sensors_changes_nothing():
    for warm_start in (False, True):
        seen, unseen = started(warm_start=warm_start), started(warm_start=warm_start)
        for command in commands(60):
            seen.step(command)
            seen.signals()
            unseen.step(command)
        assert np.array_equal(seen.save(), unseen.save())


@pytest.mark.filterwarnings('ignore:.*settotalmass')
def test_a_dead_joint_is_zero_control_on_its_actuator_in_plain_mujoco():
    model = mujoco.MjSpec.from_file(str(model_path('gymnasium/half_cheetah.xml'))).compile()
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    data, world = mujoco.MjData(model), started()
    data.qpos[:], data.qvel[:] = world.data.qpos, world.data.qvel
    world.set_disturbances([DEAD])
    # Products with 120, 90, 60, 30 of numbers of 24 bits are exact, and so are the quotients.
    for action in np.random.default_rng(1).uniform(-1, 1, (200, 6)).astype(np.float32):
        world.step(action * UPPER)
        data.ctrl[:] = action
        data.ctrl[model.actuator('bthigh').id] = 0.0
        mujoco.mj_step(model, data)
    assert np.array_equal(world.data.qpos, data.qpos)
    assert np.array_equal(world.data.qvel, data.qvel)


def test_a_joint_that_comes_back_obeys_again():
    healed, healthy = started(), started()
    healed.set_disturbances([DEAD])
    healed.set_disturbances([])
    for command in commands(20):
        healed.step(command)
        healthy.step(command)
    assert np.array_equal(healed.save(), healthy.save())


def test_a_disturbance_of_the_model_goes_on_from_the_same_state(gravity_kind):
    world = started()
    for command in commands(10):
        world.step(command)
    before, time_s = world.save(), world.time_s
    world.set_disturbances([Disturbance('gravity', 'world', 3.0), DEAD])
    assert np.array_equal(world.save(), before)
    assert world.time_s == time_s
    assert world.model.opt.gravity.tolist() == [3.0, 0.0, -9.81]
    world.set_disturbances([])
    assert world.model.opt.gravity.tolist() == [0.0, 0.0, -9.81]


def test_an_impossible_disturbance_changes_nothing():
    world = started()
    world.set_disturbances([DEAD])
    with pytest.raises(UserError, match="no target 'tail'"):
        world.set_disturbances([Disturbance('disabled_joint', 'tail')])
    assert world.disturbances == (DEAD,)
    twin = started()
    twin.set_disturbances([DEAD])
    command = commands(1)[0]
    world.step(command)
    twin.step(command)
    assert np.array_equal(world.save(), twin.save())


def test_time_goes_on_over_resets_and_never_back():
    world = World(SPEC)
    rng = np.random.default_rng(0)
    times = [world.time_s]
    for index, command in enumerate(commands(30)):
        if index % 7 == 0:
            world.reset(rng)
            assert world.time_s == times[-1]
        world.step(command)
        times.append(world.time_s)
    np.testing.assert_allclose(times, np.arange(31) * 0.01, rtol=0, atol=1e-12)


def test_the_seed_decides_the_start_and_so_the_future():
    first, second, other = started(), started(), started(seed=1)
    assert not np.array_equal(first.data.qpos, other.data.qpos)
    for command in commands(50):
        first.step(command)
        second.step(command)
    assert np.array_equal(first.save(), second.save())


def test_a_second_episode_is_like_the_first():
    world = started()
    start = world.signals()
    for command in commands(50):
        world.step(command)
    end = world.signals()
    world.reset(np.random.default_rng(0))
    assert np.array_equal(world.signals(), start)
    for command in commands(50):
        world.step(command)
    assert np.array_equal(world.signals(), end)


def test_the_start_has_the_noise_of_the_robot_file():
    world = World(SPEC)
    rng = np.random.default_rng(0)
    starts = []
    for _ in range(200):
        world.reset(rng)
        starts.append(np.concatenate([world.data.qpos, world.data.qvel]))
    # 200 x 9 draws: the standard error of a standard deviation is 1 / sqrt(2 * 1800) = 1.7 %.
    assert np.std(np.array(starts)[:, :9]) == pytest.approx(0.01, rel=0.07)
    assert np.std(np.array(starts)[:, 9:]) == pytest.approx(0.1, rel=0.07)


@pytest.mark.parametrize('warm_start', [False, True])
def test_a_restored_state_has_the_same_future(warm_start):
    world = started(warm_start=warm_start)
    for command in commands(30):
        world.step(command)
    saved = world.save()
    futures = []
    for _ in range(2):
        world.restore(saved)
        for command in commands(60, seed=2):
            world.step(command)
        futures.append(world.save())
    assert np.array_equal(*futures)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_command_that_is_not_finite_does_not_reach_the_robot(bad):
    world = started()
    before = world.save()
    world.step(np.array([0, 0, bad, 0, 0, 0]))
    assert not world.healthy
    world.step(np.zeros(6))
    assert np.array_equal(world.save(), before)
    world.set_disturbances([DEAD])
    assert not world.healthy
    world.reset(np.random.default_rng(0))
    assert world.healthy
    world.step(np.zeros(6))
    assert not np.array_equal(world.save(), before)


@pytest.mark.parametrize('forward', [1e9, 1e30, np.nan])
def test_unstable_physics_stop_the_robot_where_it_was(
    gravity_kind, forward, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    world = started()
    for command in commands(20):
        world.step(command)
    world.set_disturbances([Disturbance('gravity', 'world', 1.0)])
    world.model.opt.gravity[0] = forward
    before = world.save()
    world.step(np.zeros(6))
    assert not world.healthy
    assert np.array_equal(world.save(), before)
    assert world.time_s == pytest.approx(0.2)
    world.set_disturbances([])
    assert np.isfinite(world.signals()).all()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ('', '')


def test_a_command_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match='a command has 6 values'):
        started().step(np.zeros(1))


def _has_ideal_sensors(name: str) -> bool:
    simulation = load_robot(name).simulation
    return simulation is not None and not simulation.sensing and simulation.motors is None


@pytest.mark.parametrize('name', filter(_has_ideal_sensors, robot_names()))
def test_sensors_of_motion_need_no_forces_to_say_the_same_to_the_bit(name):
    spec = load_robot(name)
    world = World(spec)
    world.reset(np.random.default_rng(0))
    rng = np.random.default_rng(1)
    for _ in range(5):
        world.step(rng.uniform(spec.action.lower, spec.action.upper))
        said = world.signals()
        mujoco.mj_forward(world.model, world.data)
        assert np.array_equal(said, world.data.sensordata[world._columns])


def test_a_sensor_of_forces_is_that_of_the_new_state():
    data = SPEC.model_dump()
    torque = {'name': 'torque', 'topic': 'joint_states', 'field': 'effort', 'joint': 'fshin'}
    data['state'] = (*data['state'], torque | {'unit': 'N m'})
    world = World(parse(RobotSpec, data, 'test'))
    world.reset(np.random.default_rng(0))
    world.step(np.full(6, 10.0))
    said = world.signals()
    mujoco.mj_forward(world.model, world.data)
    assert np.array_equal(said, world.data.sensordata[world._columns])
    assert said[-1] == pytest.approx(10.0)
