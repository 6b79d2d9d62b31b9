# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Losses of predictions before and after adaptation, and of the state T2 steps ahead."""

import pytest
import torch

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.models.bundle import Bundle
from mbmrl_ros.training.evaluate import evaluate
from mbmrl_ros.training.predictions import prediction_losses
from mbmrl_ros.types import Transitions

TASK = load_task('half_cheetah/disabled_joint')
EPISODES, STEPS = 3, 30


def recorded(bundle: Bundle, lengths: list[int]) -> list[Trajectory]:
    """Return episodes of the bundle, cut to these lengths."""
    adapter = make_adapter(bundle, 'auto')
    whole = evaluate(bundle, adapter, TASK, 'held_out', EPISODES, STEPS, 0).trajectories
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
