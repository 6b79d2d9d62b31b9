# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Evaluation: episodes, losses before and after adaptation, intervals."""

import math

import pytest
import torch

from mbmrl_ros.algorithms import ALGORITHMS
from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.models.bundle import Bundle
from mbmrl_ros.training.evaluate import evaluate, interval95, prediction_losses
from mbmrl_ros.training.model_based import train
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.settings import TrainingConfig
from mbmrl_ros.types import Transitions

TASK = load_task('half_cheetah/disabled_joint')
PLANNER = {'candidates': 8, 'horizon': 3}
CONFIG = TrainingConfig(
    iterations=1, rollouts=2, rollout_steps=80, past_steps=8, future_steps=6, hidden_sizes=(16,),
    batch_size=4, epochs=2, held_out=0.5, planner=PLANNER, control_planner=PLANNER,
)  # fmt: skip
EPISODES, STEPS = 3, 30


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    run = Run(tmp_path_factory.mktemp('run'), {}, {})
    return train(ALGORITHMS['grbal'], TASK, CONFIG, run, seed=0)


def run_test(bundle: Bundle, adaptation: str = 'auto', test: str = 'undisturbed', seed: int = 0):
    adapter = make_adapter(bundle, adaptation)
    return evaluate(bundle, adapter, TASK, test, EPISODES, STEPS, seed)


def test_episodes_are_counted_and_adaptations_too(bundle):
    outcome = run_test(bundle)
    assert outcome.rewards.shape == (STEPS, EPISODES)
    assert [trajectory.steps for trajectory in outcome.trajectories] == [STEPS] * EPISODES
    assert len(outcome.adapt_s) == len(outcome.plan_s) == STEPS
    # From the moment on when there are 8 transitions, every tick adapts or refuses to.
    assert outcome.accepted + outcome.refused == EPISODES * (STEPS - 8)
    assert outcome.accepted > 0
    unadapted = run_test(bundle, 'none')
    assert unadapted.accepted + unadapted.refused == 0


def test_methods_start_from_the_same_states_and_seeds_differ(bundle):
    ours, theirs = run_test(bundle), run_test(bundle, 'none')
    other = run_test(bundle, seed=1)
    for one, two, three in zip(ours.trajectories, theirs.trajectories, other.trajectories):
        assert torch.equal(one.states[0], two.states[0])
        assert not torch.equal(one.states[0], three.states[0])


def test_equal_seeds_give_equal_episodes(bundle):
    first, again = run_test(bundle), run_test(bundle)
    assert torch.equal(first.rewards, again.rewards)


def test_tests_of_the_task_break_the_robot_when_they_say(bundle):
    outcomes = {test: run_test(bundle, test=test) for test in TASK.tests}
    labels = {test: o.trajectories[0].disturbance.tolist() for test, o in outcomes.items()}
    assert labels['undisturbed'] == [-1] * 30
    assert labels['held_out'] == [0] * 30
    assert labels['mid_run'] == [-1] * 10 + [0] * 20
    with pytest.raises(UserError, match="no test 'midrun'; did you mean 'mid_run'"):
        run_test(bundle, test='midrun')


def recorded(bundle: Bundle, lengths: list[int]) -> list[Trajectory]:
    """Return episodes of the bundle, cut to these lengths."""
    whole = run_test(bundle, test='held_out').trajectories
    return [
        Trajectory(one.states[: steps + 1], one.actions[:steps], one.disturbance[:steps])
        for one, steps in zip(whole, lengths)
    ]


def part(trajectory: Trajectory, start: int, end: int) -> Transitions:
    return Transitions(*(tensor[None, start:end] for tensor in trajectory.transitions()))


@pytest.mark.parametrize('adaptation', ['none', 'grbal', 'dynamic_evaluation'])
def test_losses_are_on_the_next_steps_with_what_was_adapted_to_the_last(bundle, adaptation):
    trajectories, stride = recorded(bundle, [25, 30]), 4
    adapter = make_adapter(bundle, adaptation)
    losses = prediction_losses(bundle, adapter, trajectories, stride)
    # 8 steps before and 6 after, in the 25 steps of the shorter: moments 8 to 19.
    assert losses.moments.tolist() == [8, 12, 16]
    assert losses.before.shape == losses.after.shape == (2, 3)
    loss_fn = bundle.dynamics.loss
    for row, trajectory in enumerate(trajectories):
        memory = adapter.initial(1)
        for moment in range(8, 20):
            past, future = (
                part(trajectory, moment - 8, moment),
                part(trajectory, moment, moment + 6),
            )
            memory, adapted = adapter.adapt(memory, past, torch.tensor([True]))
            if moment in losses.moments:
                column = losses.moments.tolist().index(moment)
                before, after = losses.before[row, column], losses.after[row, column]
                torch.testing.assert_close(before, loss_fn(bundle.params, future)[0])
                torch.testing.assert_close(after, loss_fn(adapted.params, future).view(()))
    same = torch.equal(losses.before, losses.after)
    assert same == (adaptation == 'none')


def expected_ahead(bundle, adapter, trajectories, moments):
    """Return errors of the state 6 steps ahead, moment by moment, and the usual change."""
    predicted, ends, starts = [], [], []
    for trajectory in trajectories:
        for moment in moments:
            past = part(trajectory, moment - 8, moment)
            _, adapted = adapter.adapt(adapter.initial(1), past, torch.tensor([True]))
            state = trajectory.states[moment][None, None]
            for action in trajectory.actions[moment : moment + 6]:
                _, state = bundle.dynamics.step(adapted.params, None, state, action[None, None])
            predicted.append(state[0, 0])
            starts.append(trajectory.states[moment])
            ends.append(trajectory.states[moment + 6])
    predicted, ends, starts = (torch.stack(x).double() for x in (predicted, ends, starts))
    usual = (ends - starts).square().mean(0)
    scale = usual.maximum(bundle.dynamics.normalizer.delta_std.square())
    return ((predicted - ends).square() / scale).mean(-1).view(len(trajectories), -1), usual


def test_the_state_ahead_is_predicted_from_the_first_one_and_the_actions_alone(bundle):
    trajectories, adapter = recorded(bundle, [25, 25]), make_adapter(bundle, 'grbal')
    ahead = prediction_losses(bundle, adapter, trajectories, 4, ahead_stride=5).ahead
    assert ahead.moments.tolist() == [8, 13, 18]
    expected, _ = expected_ahead(bundle, adapter, trajectories, (8, 13, 18))
    torch.testing.assert_close(ahead.after, expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(ahead.before, ahead.after)


def test_a_joint_that_is_stuck_is_measured_by_what_a_step_does_in_training(bundle):
    stuck, adapter = recorded(bundle, [25, 25]), make_adapter(bundle, 'none')
    for one in stuck:
        one.states[:, 5] = one.states[0, 5]
    ahead = prediction_losses(bundle, adapter, stuck, 4, ahead_stride=5).ahead
    expected, usual = expected_ahead(bundle, adapter, stuck, (8, 13, 18))
    assert usual[5] == 0
    torch.testing.assert_close(ahead.after, expected, rtol=1e-4, atol=1e-6)


def test_without_adapting_the_state_ahead_is_the_same_before_and_after(bundle):
    trajectories, adapter = recorded(bundle, [30, 30]), make_adapter(bundle, 'none')
    losses = prediction_losses(bundle, adapter, trajectories, 1, ahead_stride=3)
    assert torch.equal(losses.ahead.before, losses.ahead.after)
    later = losses.since(12)
    assert later.ahead.moments.tolist() == [14, 17, 20, 23]
    assert later.ahead.after.shape == (2, 4)
    assert prediction_losses(bundle, adapter, trajectories).ahead is None


def test_recordings_without_a_window_are_refused_in_one_line(bundle):
    with pytest.raises(UserError, match=r'no trajectory has the 8 \+ 6 transitions'):
        prediction_losses(bundle, make_adapter(bundle, 'none'), recorded(bundle, [13, 30]))


def test_the_interval_is_students_by_worked_numbers():
    # Mean 2, deviation 1, and the 0.975 quantile of t with 2 degrees of freedom is 4.302653.
    mean, half = interval95([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert interval95(torch.tensor([5.0, 5.0])) == (5.0, 0.0)


def test_one_value_has_no_interval():
    mean, half = interval95([4.0])
    assert mean == 4.0
    assert math.isnan(half)


def test_intervals_hold_the_truth_in_95_of_100_cases():
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(2000, 5, generator=generator)
    held = sum(abs(mean) <= half for mean, half in map(interval95, samples))
    # Binomial: 2000 trials with p = 0.95 have a deviation of 9.7.
    assert abs(held - 1900) < 4 * 9.7
