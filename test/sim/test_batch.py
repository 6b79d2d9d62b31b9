# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import weakref

import mujoco
import numpy as np
import pytest

from mbmrl_ros.config import UserError, parse
from mbmrl_ros.sim import disturbances
from mbmrl_ros.sim.batch import BatchPhysics, BatchWorld, Rollouts
from mbmrl_ros.sim.disturbances import Disturbance, Kind
from mbmrl_ros.sim.sensors import model_path
from mbmrl_ros.sim.world import World, initial_state, prepare_model
from mbmrl_ros.spec.robot import RobotSpec, load_robot

CHEETAH = load_robot('half_cheetah')
UPPER = np.array(CHEETAH.action.upper)
DEAD = Disturbance('disabled_joint', 'fshin')
SLOPE = Disturbance('gravity', 'world', -3.0)


def robot(physics_steps: int = 1) -> RobotSpec:
    """The cheetah with a torque sensor, the one signal that depends on the command."""
    torque = {'name': 'torque', 'topic': 'joint_states', 'field': 'effort', 'joint': 'fshin'}
    data = CHEETAH.model_dump()
    data['state'] = (*data['state'], torque | {'unit': 'N m'})
    data['period_s'] = 0.01 * physics_steps
    data['simulation']['physics_steps'] = physics_steps
    return parse(RobotSpec, data, 'test')


def commands(steps: int, batch: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (steps, batch, 6)) * UPPER


@pytest.fixture
def gravity_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(spec, model, gain, disturbance):
        model.opt.gravity[0] = disturbance.value

    kind = Kind(lambda spec: ['world'], (-np.inf, np.inf), apply, edits_model=True)
    monkeypatch.setitem(disturbances.KINDS, 'gravity', kind)


@pytest.mark.parametrize('physics_steps', [1, 5])
def test_every_row_equals_a_single_world_to_the_bit(gravity_kind, physics_steps):
    spec = robot(physics_steps)
    batch, worlds = BatchWorld(spec, 5), [World(spec) for _ in range(5)]
    batch.reset(np.random.default_rng(0))
    rng = np.random.default_rng(0)
    for world in worlds:
        world.reset(rng)
    inputs = commands(150, 5)
    inputs[100, 3] = np.nan
    for step, command in enumerate(inputs):
        if step in (20, 60):
            change = (
                {1: [DEAD], 2: [SLOPE], 4: [SLOPE, DEAD]} if step == 20 else {1: [], 4: [DEAD]}
            )
            for row, wrong in change.items():
                batch.set_disturbances(row, wrong)
                worlds[row].set_disturbances(wrong)
        batch.step(command)
        for world, row in zip(worlds, command):
            world.step(row)
        assert np.array_equal(batch.signals(), [world.signals() for world in worlds])
        assert batch.healthy.tolist() == [world.healthy for world in worlds]
        assert np.array_equal(batch.states[:, 1:10], [world.data.qpos for world in worlds])
        assert np.array_equal(batch.states[:, 10:], [world.data.qvel for world in worlds])
    assert batch.healthy.tolist() == [True, True, True, False, True]


def test_a_new_model_shows_in_the_sensors_at_once(gravity_kind, monkeypatch):
    def shrink(spec, model, gain, disturbance):
        model.body('torso').pos[2] += disturbance.value

    kind = Kind(lambda spec: ['torso'], (0.0, 1.0), shrink, edits_model=True)
    monkeypatch.setitem(disturbances.KINDS, 'lift', kind)
    spec = robot()
    batch = BatchWorld(spec, 2)
    batch.reset(np.random.default_rng(0))
    before = batch.signals()
    batch.set_disturbances(1, [Disturbance('lift', 'torso', 0.5)])
    rise = batch.signals() - before
    assert rise[1, spec.signals.index('odom:pose.pose.position.z')] == pytest.approx(0.5)
    assert np.array_equal(rise[0], np.zeros(len(spec.signals)))


def test_no_more_models_are_kept_than_may_come_again(gravity_kind, monkeypatch):
    monkeypatch.setattr('mbmrl_ros.sim.batch.MOST_VARIANTS', 3)
    world = BatchWorld(robot(), 2)
    world.reset(np.random.default_rng(0))
    pulls = [Disturbance('gravity', 'world', float(value)) for value in range(8)]
    models = []
    for pull in (*pulls, pulls[0]):
        world.set_disturbances(0, [pull])
        models.append(weakref.ref(world._models[0]))
        assert world._models[0].opt.gravity[0] == pull.value
    # Three of them, the one in force among them; the first was forgotten and made anew.
    assert sum(model() is not None for model in models) == 3
    assert models[0]() is None and models[-1]() is not None
    world.close()


def test_rows_do_not_influence_each_other():
    calm, wild = BatchWorld(CHEETAH, 4), BatchWorld(CHEETAH, 4)
    calm.reset(np.random.default_rng(0))
    wild.reset(np.random.default_rng(0))
    wild.set_disturbances(3, [DEAD])
    for mine, others in zip(commands(100, 4), commands(100, 4, seed=2)):
        calm.step(mine)
        others[1] = mine[1]
        wild.step(others)
        assert np.array_equal(calm.signals()[1], wild.signals()[1])
    assert not np.array_equal(calm.signals()[0], wild.signals()[0])


def test_the_number_of_threads_does_not_matter():
    ends = []
    for threads in (1, 2, 3):
        batch = BatchWorld(CHEETAH, 5, threads)
        batch.reset(np.random.default_rng(0))
        for command in commands(50, 5):
            batch.step(command)
        ends.append(batch.signals())
        batch.close()
    assert np.array_equal(ends[0], ends[1])
    assert np.array_equal(ends[0], ends[2])


@pytest.mark.parametrize('physics_steps', [1, 5])
@pytest.mark.parametrize('forward', [1e9, 1e30])
def test_unstable_physics_stop_their_row_only(
    gravity_kind, physics_steps, forward, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    spec = robot(physics_steps)
    batch, undisturbed = BatchWorld(spec, 3), BatchWorld(spec, 3)
    batch.reset(np.random.default_rng(0))
    undisturbed.reset(np.random.default_rng(0))
    for step, command in enumerate(commands(40, 3)):
        if step == 20:
            before, felt = batch.states[1], batch.signals()[1]
            batch.set_disturbances(1, [Disturbance('gravity', 'world', forward)])
        batch.step(command)
        undisturbed.step(command)
    assert batch.healthy.tolist() == [True, False, True]
    assert np.array_equal(batch.states[1], before)
    assert np.array_equal(batch.signals()[1], felt)
    batch.set_disturbances(1, [])
    assert np.array_equal(batch.signals()[1], felt)
    for row in (0, 2):
        assert np.array_equal(batch.signals()[row], undisturbed.signals()[row])
    batch.reset(np.random.default_rng(0))
    assert batch.healthy.all()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ('', '')


def test_where_mujoco_warns_both_worlds_stop_though_the_numbers_look_sound(monkeypatch):
    def apply(spec, model, gain, disturbance):
        # 2e10 m/s^2, twice what MuJoCo warns of, make no more than 2e4 m/s within 1e-6 s.
        model.opt.timestep, model.opt.gravity[2] = 1e-6, 2e10

    kind = Kind(lambda spec: ['torso'], (0.0, 0.0), apply, edits_model=True)
    monkeypatch.setitem(disturbances.KINDS, 'kick', kind)
    spec = robot(physics_steps=5)
    batch, world = BatchWorld(spec, 1), World(spec)
    batch.reset(np.random.default_rng(0))
    world.reset(np.random.default_rng(0))
    before = batch.states
    batch.set_disturbances(0, [Disturbance('kick', 'torso')])
    world.set_disturbances([Disturbance('kick', 'torso')])
    batch.step(commands(1, 1)[0])
    world.step(commands(1, 1)[0, 0])
    assert [world.healthy, *batch.healthy] == [False, False]
    assert np.array_equal(batch.states, before)
    assert np.array_equal(batch.signals()[0], world.signals())


def test_a_second_episode_is_like_the_first():
    batch = BatchWorld(robot(), 2)
    episodes = []
    for _ in range(2):
        batch.reset(np.random.default_rng(0))
        signals = [batch.signals()]
        for command in commands(20, 2):
            batch.step(command)
            signals.append(batch.signals())
        batch.set_disturbances(0, [DEAD])
        episodes.append(signals)
    assert np.array_equal(*episodes)


def test_what_is_handed_out_is_a_copy():
    batch = BatchWorld(CHEETAH, 1)
    batch.reset(np.random.default_rng(0))
    states, signals = batch.states, batch.signals()
    expected = signals.copy()
    states[:], signals[:] = np.nan, np.nan
    assert np.array_equal(batch.signals(), expected)
    batch.step(np.zeros((1, 6)))
    assert batch.healthy.all()


def test_commands_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r'commands are \(2, 6\), got \(1, 6\)'):
        BatchWorld(CHEETAH, 2).step(np.zeros((1, 6)))


@pytest.mark.parametrize('file', ['half_cheetah.xml', 'ant.xml'])
def test_physics_without_a_robot_file_are_plain_mujoco_row_by_row(file):
    physics = BatchPhysics(f'gymnasium/{file}')
    model = mujoco.MjModel.from_xml_path(str(model_path(f'gymnasium/{file}')))
    # Without a warm start, as ours; with the search for islands, which ours leaves out.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
    rng = np.random.default_rng(0)
    start = np.concatenate([[0.0], model.qpos0, np.zeros(model.nv)])
    states = np.tile(start, (3, 1))
    states[:, 1 + model.nq :] = 0.1 * rng.normal(size=(3, model.nv))
    rows = [mujoco.MjData(model) for _ in states]
    for data, state in zip(rows, states):
        data.qpos[:], data.qvel[:] = state[1 : 1 + model.nq], state[1 + model.nq :]
    for controls in rng.uniform(-1, 1, (100, 3, model.nu)).astype(np.float32):
        states = physics.step(states, controls, 5)
        for data, control in zip(rows, controls):
            data.ctrl[:] = control
            mujoco.mj_step(model, data, 5)
    expected = [[data.time, *data.qpos, *data.qvel] for data in rows]
    assert np.array_equal(states, expected)
    physics.close()


def test_physics_refuse_wrong_shapes_and_files():
    physics = BatchPhysics('gymnasium/half_cheetah.xml')
    for states, controls in ((18, 6), (19, 5)):
        with pytest.raises(ValueError, match='states and controls are'):
            physics.step(np.zeros((2, states)), np.zeros((2, controls)))
    with pytest.raises(ValueError, match='states and controls are'):
        physics.step(np.zeros((2, 19)), np.zeros((3, 6)))
    with pytest.raises(UserError, match=r'cannot load nowhere\.xml'):
        BatchPhysics('nowhere.xml')


def test_physics_in_one_call_reach_the_states_of_step_by_step():
    physics = BatchPhysics('gymnasium/half_cheetah.xml', threads=2)
    width = 1 + physics.model.nq + physics.model.nv
    starts = np.random.default_rng(0).normal(0, 0.1, (3, width))
    controls = np.random.default_rng(1).uniform(-1, 1, (20, 3, physics.model.nu))
    states = starts
    for control in controls:
        states = physics.step(states, control, 5)
    np.testing.assert_array_equal(physics.follow(starts, controls, 5), states)
    physics.close()


@pytest.mark.parametrize('steps', [1, 5])
def test_one_row_ends_where_a_rollout_ends_also_where_mujoco_warns(steps):
    model = prepare_model(CHEETAH, warm_start=False)
    rollouts = Rollouts(model, threads=1)
    state = initial_state(CHEETAH, model, np.random.default_rng(0))[None]
    fast = state.copy()
    fast[0, -1] = 1e9
    rng = np.random.default_rng(1)
    broken = np.full((1, 6), np.nan)
    for start, controls in ((state, rng.uniform(-1, 1, (1, 6))), (fast, broken), (state, broken)):
        expected = rollouts.run([model], start, controls, steps)[0][:, -1]
        reached = rollouts.last([model], start, controls, steps)
        assert np.array_equal(reached, expected, equal_nan=True)
    rollouts.close()
