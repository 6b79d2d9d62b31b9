# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ReBAL learns what an episode hides, trains and goes on, drives, and is evaluated."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from mbmrl_ros.adaptation.adapter import NoAdaptation
from mbmrl_ros.adaptation.recurrent import RecurrentAdapter
from mbmrl_ros.algorithms import ALGORITHMS, LEARNERS
from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.algorithms.rebal import ReBALConfig
from mbmrl_ros.bundles.dynamics import Bundle, load_bundle
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory, all_transitions
from mbmrl_ros.data.windows import Windows
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.evaluation.predictions import prediction_losses
from mbmrl_ros.models.fit import FitSchedule, fit
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.models.recurrent import RecurrentDynamics
from mbmrl_ros.planners.kinds import make_planner
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.robot.adaptive_mpc import AdaptiveMPC, make_mpc
from mbmrl_ros.robot.command import from_units
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.latency import Latency
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.fit_model import FitData, ModelTraining
from mbmrl_ros.training.dynamics.publish import untrained_bundle
from mbmrl_ros.training.dynamics.train_state import TrainState
from mbmrl_ros.types import Reading, Transitions

PAST, FUTURE, STEPS = 8, 5, 40
CONFIG = ReBALConfig(
    past_steps=PAST, future_steps=FUTURE, rollout_steps=STEPS, rollouts=40, batch_size=16,
    validation_fraction=0.25,
)  # fmt: skip
TASK = load_task('half_cheetah/disabled_joint')
SPEC = load_robot(TASK.robot)
MEMORIES = pytest.mark.parametrize('memory', ['window', 'episode'])


def masses(count: int, seed: int) -> list[Trajectory]:
    """Record point masses, each pushed with a gain of its own: v' = v + g a, x' = x + 0.1 v.

    g is uniform in -1..1, a in -1..1, and v falls off by a tenth, so that it stays bounded.
    """
    generator = torch.Generator().manual_seed(seed)
    trajectories = []
    for _ in range(count):
        gain = torch.rand((), generator=generator) * 2 - 1
        actions = torch.rand(STEPS, 1, generator=generator) * 2 - 1
        states = [torch.randn(2, generator=generator)]
        for action in actions:
            x, v = states[-1]
            states.append(torch.stack([x + 0.1 * v, 0.9 * v + gain * action[0]]))
        trajectories.append(Trajectory(torch.stack(states), actions, torch.full((STEPS,), -1)))
    return trajectories


def lesson(memory: str, cell: str = 'lstm', settings: dict | None = None, **changes):
    """Return model, what is learned, and the objective on 48 masses, 16 of them held out."""
    data = masses(64, seed=0)
    training, held_out = data[:48], data[48:]
    dynamics = RecurrentDynamics(
        2, 1, (1,), (24,), Normalizer.fit(all_transitions(training)), cell=cell
    )
    params = dynamics.init(torch.Generator().manual_seed(0))
    params = {name: value.requires_grad_() for name, value in params.items()}
    learned = TrainState(params, {}, torch.optim.Adam(params.values()))
    recurrent = {'memory': memory, 'cell': cell, **changes}
    config = ReBALConfig.model_validate(
        CONFIG.model_dump() | {'recurrent': recurrent, **(settings or {})}
    )
    generator = torch.Generator().manual_seed(0)
    objective = LEARNERS['rebal'].objective(
        dynamics, learned, FitData(training, held_out, generator), config
    )
    return dynamics, learned, objective


def losses_on_new_masses(dynamics: RecurrentDynamics, params) -> tuple[float, float]:
    """Return the mean losses on the future, without and with a memory of the past."""
    windows = Windows.of(masses(32, seed=1), PAST, FUTURE)
    past, future = windows.at(windows.start_indices)
    with torch.no_grad():
        carry, _ = dynamics.unroll(params, dynamics.empty(len(past.states)), past)
        before = dynamics.loss(params, future)
        after = dynamics.loss(params, future, carry=carry)
    return float(before.mean()), float(after.mean())


# What cannot be known without a past is g a: E[g^2] E[a^2] = 1/9. The variance of v' - v = g a -
# 0.1 v is 1/9 (1 + 0.1^2 / 0.19) = 0.117, so that the best memoryless prediction of it has a loss
# of 0.95, and of 0.475 meaned with x, which is no riddle: what a network without memory can reach.
MEMORYLESS = 0.475


@MEMORIES
@pytest.mark.parametrize('cell', ['lstm', 'gru'])
def test_it_learns_to_tell_masses_apart_from_their_past(memory, cell):
    dynamics, learned, objective = lesson(memory, cell)
    fit(
        learned.params, torch.optim.Adam(learned.params.values(), lr=0.01), objective,
        FitSchedule(epochs=15, batches_per_epoch=20, persistency=0.9, patience=15),
    )  # fmt: skip
    before, after = losses_on_new_masses(dynamics, learned.params)
    assert after < 0.3 * MEMORYLESS
    assert after < 0.4 * before
    # Without a past it is no better than any network without one can be, but for chance in the
    # draw of the masses.
    assert before > 0.85 * MEMORYLESS


@MEMORIES
@pytest.mark.parametrize('setting', ['actuator_gain_range', 'actuator_bias_range'])
def test_virtual_motors_are_for_training_only(memory, setting):
    plain, varied = (lesson(memory, settings={setting: value})[2] for value in (0.0, 1.0))
    assert plain.validation_loss() == varied.validation_loss()
    assert plain.batch_loss().item() != varied.batch_loss().item()


@MEMORIES
def test_batches_reach_everything_that_is_learned(memory):
    _, learned, objective = lesson(memory)
    objective.batch_loss().backward()
    assert all(value.grad is not None and value.grad.any() for value in learned.params.values())


def test_scoring_the_future_only_leaves_the_past_out():
    _, _, both = lesson('window')
    _, learned, future = lesson('window', score_past=False)
    assert both.validation_loss() == future.validation_loss()
    assert both.batch_loss().item() != future.batch_loss().item()
    # With pieces that begin with the future, gradients do not reach the past either.
    _, learned, cut = lesson('window', score_past=False, backprop_steps=PAST)
    cut.batch_loss().backward()
    assert all(value.grad.any() for value in learned.params.values())


def test_windows_are_those_that_stop_grbal():
    data = masses(64, seed=0)
    dynamics, learned, objective = lesson('window')
    # The same generator draws the same moments: past and future of GrBAL's are halves of ours.
    generator = torch.Generator().manual_seed(0)
    past, future = Windows.of(data[48:], PAST, FUTURE).sample(256, generator)
    with torch.no_grad():
        carry, _ = dynamics.unroll(learned.params, dynamics.empty(256), past)
        expected = float(dynamics.loss(learned.params, future, carry=carry).mean())
    assert objective.validation_loss() == pytest.approx(expected, rel=1e-5)


def test_an_epoch_sees_as_much_as_there_is():
    # 48 masses of 40 steps: 16 windows of 13 per update, or 10 masses.
    assert lesson('window')[2].batches_per_epoch == 48 * 40 // (16 * 13)
    assert lesson('episode')[2].batches_per_epoch == 48 // 10


def small_bundle(algorithm: str = 'rebal', memory: str = 'window', cell: str = 'lstm') -> Bundle:
    settings = {
        'past_steps': 4, 'future_steps': 4, 'hidden_sizes': (8,),
        'control_planner': {'candidates': 16, 'horizon': 3},
    }  # fmt: skip
    if algorithm == 'rebal':
        settings['recurrent'] = {'memory': memory, 'cell': cell}
    config = ALGORITHMS[algorithm].Config(**settings)
    return untrained_bundle(ModelTraining(LEARNERS[algorithm], SPEC, config, 0), TASK.name)


@MEMORIES
def test_a_bundle_remembers_as_it_was_trained_to(memory):
    bundle = small_bundle(memory=memory)
    for name in ('auto', 'rebal'):
        adapter = make_adapter(bundle, name)
        assert isinstance(adapter, RecurrentAdapter)
        assert adapter.span == memory and adapter.params is bundle.params
    assert isinstance(make_adapter(bundle, 'none'), NoAdaptation)


def test_what_does_not_go_together_is_refused():
    for adaptation in ('grbal', 'dynamic_evaluation'):
        with pytest.raises(UserError, match=f'recurrent, does not adapt by {adaptation}; valid'):
            make_adapter(small_bundle(), adaptation)
    for algorithm in ('grbal', 'mb'):
        with pytest.raises(UserError, match='feed-forward, does not adapt by rebal; valid'):
            make_adapter(small_bundle(algorithm), 'rebal')
    # As bundle.json may say after somebody has changed it.
    for network, algorithm in (('rebal', 'grbal'), ('grbal', 'rebal')):
        bundle = small_bundle(network)
        bundle = dataclasses.replace(
            bundle, info=bundle.info.model_copy(update={'algorithm': algorithm})
        )
        with pytest.raises(UserError, match=f'does not adapt by {algorithm}; valid'):
            make_adapter(bundle, 'auto')
        assert isinstance(make_adapter(bundle, 'none'), NoAdaptation)


@MEMORIES
def test_losses_are_with_an_empty_memory_and_with_what_came_before(memory):
    bundle = small_bundle(memory=memory)
    generator = torch.Generator().manual_seed(0)
    trajectories = [
        Trajectory(
            torch.randn(20, SPEC.state_size, generator=generator),
            torch.rand(19, SPEC.action_size, generator=generator) * 2 - 1,
            torch.zeros(19),
        )
        for _ in range(2)
    ]
    losses = prediction_losses(bundle, make_adapter(bundle, 'auto'), trajectories, 3, 3)
    assert losses.start_indices.tolist() == losses.ahead.start_indices.tolist() == [4, 7, 10, 13]
    ends, states = [], []
    dynamics, params = bundle.dynamics, bundle.params
    for row, trajectory in enumerate(trajectories):
        for column, moment in enumerate(losses.start_indices.tolist()):
            first = moment - 4 if memory == 'window' else 0
            past, coming = (
                Transitions(*(tensor[None, a:b] for tensor in trajectory.transitions()))
                for a, b in ((first, moment), (moment, moment + 4))
            )
            carry, _ = dynamics.unroll(params, dynamics.empty(1), past)
            after = dynamics.loss(params, coming, carry=carry)[0]
            torch.testing.assert_close(losses.after[row, column], after)
            before = dynamics.loss(params, coming)[0]
            torch.testing.assert_close(losses.before[row, column], before)
            state = coming.states[:, :1]
            for action in coming.actions.split(1, dim=1):
                carry, state = dynamics.step(params, carry, state, action)
            ends.append(state[0, 0])
            states.append((coming.states[0, 0], coming.next_states[0, -1]))
    first, last = (torch.stack(each).double() for each in zip(*states))
    usual = (last - first).square().mean(0).maximum(dynamics.normalizer.delta_std.square())
    ahead = ((torch.stack(ends).double() - last).square() / usual).mean(-1).view(2, 4)
    torch.testing.assert_close(losses.ahead.after, ahead, rtol=1e-3, atol=1e-6)


def drive(controller: Controller, clock: list[float], steps: int):
    """Let the joints move and tick, period after period."""
    ticks = []
    for _ in range(steps):
        for topic in SPEC.topics:
            # Four times a half is a quaternion.
            values = [0.5] * len(SPEC.topic_signals(topic))
            if topic == 'joint_states':
                values = [0.1 * math.sin(40 * clock[0] + i) for i in range(len(values))]
            reading = Reading(topic, round(clock[0], 6), clock[0], tuple(values))
            assert controller.on_reading(reading) is None
        ticks.append(controller.tick(clock[0]))
        clock[0] += SPEC.period_s
    return ticks


def driver(bundle: Bundle) -> AdaptiveMPC:
    planner = make_planner(bundle.info.planner, SPEC.action_size)
    generator, reward = torch.Generator().manual_seed(0), build_reward(SPEC, TASK.reward)
    return make_mpc(bundle, make_adapter(bundle, 'auto'), planner, reward, generator)


@MEMORIES
@pytest.mark.parametrize('cell', ['lstm', 'gru'])
@pytest.mark.parametrize('latency', [False, True])
def test_a_controller_remembers_tick_by_tick(memory, cell, latency):
    bundle, clock = small_bundle(memory=memory, cell=cell), [10.0]
    mpc = driver(bundle)
    controller = Controller(SPEC, mpc, lambda: clock[0], Latency(SPEC) if latency else None)
    ticks = drive(controller, clock, 8)
    assert not any(tick.command.fallback for tick in ticks)
    assert [tick.diagnostics.adapted for tick in ticks] == [False] * 4 + [True] * 4
    assert all(tick.diagnostics.loss_before > 0 for tick in ticks[4:])
    carries = [tick.decision.adapted.carry for tick in ticks]
    assert not carries[0].any() and all(carry.any() for carry in carries[1:])
    controller.reset()
    assert not drive(controller, clock, 1)[0].decision.adapted.carry.any()


@MEMORIES
def test_a_controller_forgets_what_was_before_a_gap(memory):
    clock = [10.0]
    controller = Controller(SPEC, driver(small_bundle(memory=memory)), lambda: clock[0])
    drive(controller, clock, 6)
    clock[0] += 2 * SPEC.period_s
    carries = [tick.decision.adapted.carry for tick in drive(controller, clock, 3)]
    assert not carries[0].any() and carries[1].any() and carries[2].any()


@MEMORIES
def test_bundles_of_another_kind_take_over_between_two_ticks(memory):
    bundle, clock = small_bundle(memory=memory), [10.0]
    controller = Controller(SPEC, driver(small_bundle('grbal')), lambda: clock[0])
    before = drive(controller, clock, 6)
    controller.switch_to(driver(bundle))
    ticks = drive(controller, clock, 2)
    # What the history holds is remembered at once: past_steps are 4, and the last states these.
    states = torch.stack([torch.from_numpy(tick.state).float() for tick in (*before, ticks[0])])
    actions = torch.stack(
        [torch.from_numpy(from_units(SPEC, tick.command.values)).float() for tick in before]
    )
    past = Transitions(states[None, 2:6], actions[None, 2:6], states[None, 3:7])
    expected, _ = bundle.dynamics.unroll(bundle.params, bundle.dynamics.empty(1), past)
    torch.testing.assert_close(ticks[0].decision.adapted.carry, expected)
    controller.switch_to(driver(small_bundle('grbal')))
    ticks += drive(controller, clock, 2)
    assert ticks[-1].decision.carry is None
    assert not any(tick.command.fallback for tick in ticks)
    assert all(tick.diagnostics.adapted for tick in ticks)


TINY = [
    'iterations=2', 'rollouts=4', 'rollout_steps=60', 'past_steps=4', 'future_steps=4',
    'hidden_sizes=[16]', 'batch_size=8', 'epochs=1', 'validation_fraction=0.5',
    'recurrent.episodes=2',
    'recurrent.backprop_steps=20', 'planner={candidates: 4, horizon: 3}',
    'control_planner={candidates: 4, horizon: 3}',
]  # fmt: skip


def train(out: Path, *more: str, start_from: Path | None = None) -> int:
    settings = [part for item in (*TINY, *more) for part in ('--set', item)]
    start = ['--start-from', str(start_from)] if start_from else []
    arguments = ['--task', TASK.name, '--out', str(out), '--threads', '1', *start, *settings]
    return main(['train', 'rebal', *arguments])


@pytest.fixture(scope='module', params=['window', 'episode'])
def trained(request, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp(request.param)
    assert train(out, f'recurrent.memory={request.param}') == 0
    return out


def test_a_run_that_goes_on_ends_as_one_that_was_not_stopped(trained, tmp_path):
    memory = load_bundle(trained / 'bundle', SPEC).info.memory
    setting = f'recurrent.memory={memory}'
    assert train(tmp_path, setting, 'iterations=1') == 0
    assert train(tmp_path, setting) == 0
    ours, theirs = load_bundle(tmp_path / 'bundle', SPEC), load_bundle(trained / 'bundle', SPEC)
    assert all(torch.equal(ours.params[name], theirs.params[name]) for name in theirs.params)
    assert not ours.step_sizes


def test_evaluate_and_report_know_it(trained, tmp_path, capsys):
    result = tmp_path / 'result.json'
    common = ['evaluate', '--bundle', str(trained / 'bundle'), '--test', 'mid_run', '--episodes',
              '2', '--steps', '40', '--threads', '1', '--json', str(result)]  # fmt: skip
    assert main(common) == 0
    numbers = json.loads(result.read_text())
    assert numbers['algorithm'] == 'rebal'
    test = numbers['tests']['mid_run']
    assert test['ratio'] == pytest.approx(test['loss_after'] / test['loss_before'])
    assert test['loss_after'] != test['loss_before']
    # From the moment on when there are 4 transitions, every tick of both episodes.
    assert test['adaptations_accepted'] == 2 * (40 - 4) and test['adaptations_refused'] == 0
    assert main([*common, '--adaptation', 'none']) == 0
    assert json.loads(result.read_text())['tests']['mid_run']['ratio'] == 1.0
    assert main(['report', str(trained)]) == 0
    page = (trained / 'report.html').read_text()
    assert 'rebal on half_cheetah' in page and 'Step sizes' not in page


def test_it_takes_over_the_data_of_mb_and_none_of_its_weights(tmp_path):
    shared = [item for item in TINY if not item.startswith('recurrent')]
    settings = [part for item in shared for part in ('--set', item)]
    mb = tmp_path / 'mb'
    assert main(['train', 'mb', '--task', TASK.name, '--out', str(mb), *settings]) == 0
    assert train(tmp_path / 'rebal', start_from=mb) == 0
    for iteration in (1, 2):
        name = f'data/{iteration:04d}.safetensors'
        assert (tmp_path / 'rebal' / name).read_bytes() == (mb / name).read_bytes()
    assert load_bundle(tmp_path / 'rebal' / 'bundle', SPEC).info.cell == 'lstm'


def test_another_network_to_start_from_is_refused_in_one_line(trained, tmp_path, capsys):
    assert train(tmp_path / 'run', 'hidden_sizes=[12]', start_from=trained) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith('mbmrl: ') and 'weight_input0' in said
