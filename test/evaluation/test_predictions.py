# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Losses of predictions before and after adaptation, and of the state T2 steps ahead."""

from dataclasses import replace

import pytest
import torch

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.bundles.dynamics import Bundle
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.robot_task import open_task
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.evaluation.episodes import Trial, evaluate
from mbmrl_ros.evaluation.predictions import prediction_losses
from mbmrl_ros.types import Transitions

TASK = load_task('half_cheetah/disabled_joint')
EPISODES, STEPS = 3, 30


def recorded(bundle: Bundle, lengths: list[int]) -> list[Trajectory]:
    """Return episodes of the bundle, cut to these lengths."""
    adapter = make_adapter(bundle, 'auto')
    trial = Trial(open_task(TASK), 'held_out', EPISODES, STEPS, 0)
    whole = evaluate(bundle, adapter, trial).trajectories
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
    # 8 steps before and 6 after: moments 8 to 19 of the shorter, to 24 of the longer.
    assert losses.start_indices.tolist() == [8, 12, 16, 20, 24]
    assert losses.before.shape == losses.after.shape == (2, 5)
    assert losses.before.isnan().tolist() == losses.after.isnan().tolist()
    assert losses.before.isnan().tolist() == [[False] * 3 + [True] * 2, [False] * 5]
    loss_fn = bundle.dynamics.loss
    for row, trajectory in enumerate(trajectories):
        memory = adapter.initial(1)
        for moment in range(8, trajectory.steps - 5):
            past, future = (
                part(trajectory, moment - 8, moment),
                part(trajectory, moment, moment + 6),
            )
            memory, adapted = adapter.adapt(memory, past, torch.tensor([True]))
            if moment in losses.start_indices:
                column = losses.start_indices.tolist().index(moment)
                before, after = losses.before[row, column], losses.after[row, column]
                torch.testing.assert_close(before, loss_fn(bundle.params, future)[0])
                torch.testing.assert_close(after, loss_fn(adapted.params, future).view(()))
    same = torch.equal(losses.before.nan_to_num(), losses.after.nan_to_num())
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
    assert ahead.start_indices.tolist() == [8, 13, 18]
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
    assert later.ahead.start_indices.tolist() == [14, 17, 20, 23]
    assert later.ahead.after.shape == (2, 4)
    assert prediction_losses(bundle, adapter, trajectories).ahead is None


@pytest.mark.parametrize('adaptation', ['none', 'grbal', 'dynamic_evaluation'])
@pytest.mark.parametrize('short', [20, 14, 13, 1])
def test_a_short_episode_takes_nothing_from_the_others(bundle, adaptation, short):
    # 14 steps hold one moment, 13 none.
    adapter = make_adapter(bundle, adaptation)
    others = recorded(bundle, [30, 30, 30])
    alone = prediction_losses(bundle, adapter, others[:2], 1, ahead_stride=5)
    cut = recorded(bundle, [30, 30, short])
    losses = prediction_losses(bundle, adapter, cut, 1, ahead_stride=5)
    assert losses.start_indices.tolist() == alone.start_indices.tolist() == list(range(8, 25))
    for name in ('before', 'after'):
        whole, masked = getattr(alone, name), getattr(losses, name)
        torch.testing.assert_close(masked[:2], whole)
        assert int(masked[2].isfinite().sum()) == max(0, short - 13)
    assert losses.ahead.start_indices.tolist() == [8, 13, 18, 23]
    assert int(losses.ahead.after[2].isfinite().sum()) == max(0, -(-(short - 13) // 5))


def test_episodes_that_all_ended_too_early_have_no_losses(bundle):
    adapter = make_adapter(bundle, 'auto')
    losses = prediction_losses(bundle, adapter, recorded(bundle, [13, 2, 9]), 1, ahead_stride=3)
    assert losses.start_indices.tolist() == [] and losses.before.shape == (3, 0)
    assert losses.ahead.before.shape == (3, 0)


def test_a_prediction_that_is_no_number_counts_and_a_state_that_is_not_known_does_not(bundle):
    adapter = make_adapter(bundle, 'none')
    whole = recorded(bundle, [30, 30])
    sound = prediction_losses(bundle, adapter, whole, 1, ahead_stride=4)
    whole[0].states[20] = torch.nan
    gap = prediction_losses(bundle, adapter, whole, 1, ahead_stride=4)
    # Windows of 6 transitions that hold state 20 begin at 14 to 20.
    lost = [moment for moment in gap.start_indices.tolist() if 14 <= moment <= 20]
    assert gap.before.isnan()[0].nonzero().flatten().tolist() == [one - 8 for one in lost]
    torch.testing.assert_close(gap.before[1], sound.before[1])
    broken = {name: value * torch.nan for name, value in bundle.params.items()}
    spoilt = replace(bundle, params=broken)
    losses = prediction_losses(spoilt, make_adapter(spoilt, 'none'), whole, 1, ahead_stride=4)
    assert losses.before.isinf().sum(1).tolist() == [17 - len(lost), 17]
    assert losses.before.isnan().sum(1).tolist() == [len(lost), 0]
    assert losses.ahead.after[1].isinf().all()
