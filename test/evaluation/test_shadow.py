# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A controller beside recordings: what it predicts and proposes, and what that sums up to."""

import json
import math

import numpy as np
import pytest
import torch
from json_keys import misfits

from mbmrl_ros.algorithms.adapters import make_adapter
from mbmrl_ros.cli.main import main
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.evaluation.shadow import ShadowLog, run_in_shadow, summarise, verdict
from mbmrl_ros.planners.kinds import make_planner
from mbmrl_ros.rewards.reward import build_reward
from mbmrl_ros.robot.adaptive_mpc import make_mpc
from mbmrl_ros.robot.command import to_units
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
STEPS, PAST = 12, 8


def trajectory(bundle, seed: int) -> Trajectory:
    """A robot that changes by more than the model expects, ever by the same."""
    generator = torch.Generator().manual_seed(seed)
    normalizer = bundle.dynamics.normalizer
    change = normalizer.delta_mean + 2 * normalizer.delta_std
    states = torch.arange(STEPS + 1)[:, None] * change
    actions = 2 * torch.rand(STEPS, SPEC.action_size, generator=generator) - 1
    return Trajectory(states, actions, torch.full((STEPS,), -1))


@pytest.fixture
def trajectories(bundle):
    return [trajectory(bundle, seed) for seed in (0, 1)]


def shadowed(bundle, trajectories, adaptation: str) -> ShadowLog:
    generator = torch.Generator().manual_seed(3)
    reward = build_reward(SPEC, load_task('half_cheetah/disabled_joint').reward)
    planner = make_planner(bundle.info.planner, SPEC.action_size)
    mpc = make_mpc(bundle, make_adapter(bundle, adaptation), planner, reward, generator)
    return run_in_shadow(bundle, mpc, SPEC, trajectories)


def test_errors_are_those_of_the_next_step_and_windows_begin_anew(bundle, trajectories):
    log = shadowed(bundle, trajectories, 'none')
    every = [each.transitions() for each in trajectories]
    with torch.no_grad():
        expected = [bundle.dynamics.errors(bundle.params, part).mean(-1) for part in every]
    assert log.trained == pytest.approx(torch.cat(expected).tolist(), rel=1e-5)
    assert log.adapted == log.trained and not any(log.accepted)
    changes = [(part.next_states - part.states) for part in every]
    spread = bundle.dynamics.normalizer.delta_std
    still = torch.cat([(change / spread).square().mean(-1) for change in changes])
    assert log.no_change == pytest.approx(still.tolist(), rel=1e-5)
    assert log.window == 2 * (PAST * [False] + (STEPS - PAST) * [True])
    sent = to_units(SPEC, torch.cat([each.actions for each in trajectories]).double().numpy())
    np.testing.assert_allclose(np.array(log.recorded), sent)


def test_what_it_proposes_depends_on_the_seed_alone_and_keeps_the_limits(bundle, trajectories):
    first, again = (shadowed(bundle, trajectories, 'auto') for _ in range(2))
    np.testing.assert_array_equal(first.proposed, again.proposed)
    assert first.adapted == again.adapted
    # The model is the trained one wherever adapting was refused, and before there is a window.
    kept = ~np.array(first.accepted)
    assert kept[:PAST].all() and (np.array(first.adapted) == first.trained)[kept].all()
    assert (np.abs(first.proposed) <= np.array(SPEC.action.upper)).all()


def test_a_summary_counts_steps_with_a_window_only():
    one, other = np.full(6, 2.0), np.full(6, -1.0)
    log = ShadowLog(
        proposed=[one, other], recorded=[other, other], trained=[9.0, 0.5], adapted=[9.0, 0.25],
        no_change=[9.0, 1.0], window=[False, True], accepted=[False, True],
        tick_s=[0.5 * SPEC.period_s, 2 * SPEC.period_s],
    )  # fmt: skip
    found = summarise(log, SPEC)
    assert (found['steps'], found['steps_with_window'], found['adapted_share']) == (2, 1, 1.0)
    assert [found[f'loss_{name}'] for name in ('trained', 'adapted', 'no_change')] == [
        0.5,
        0.25,
        1,
    ]
    assert found['tick_ms']['late_share'] == 0.5
    joint = found['commands']['bthigh']
    # Differences 3 and 0; what was sent never changes.
    assert joint['rms_difference'] == pytest.approx(math.sqrt(4.5))
    assert (joint['proposed_mean'], joint['recorded_mean']) == (0.5, -1.0)
    assert math.isnan(joint['correlation'])


@pytest.mark.parametrize(
    ('trained', 'adapted', 'said'),
    [
        (0.5, 0.25, '25.0% is not foreseen; adapting takes 50% off the error'),
        (0.25, 0.5, '50.0% is not foreseen; adapting does not help'),
        (0.5, 1.0, 'do not drive with it; compare the topic of the commands'),
        (0.5, math.nan, 'do not drive with it'),
    ],
)
def test_the_verdict_says_what_the_numbers_mean(trained, adapted, said):
    losses = {'loss_trained': trained, 'loss_adapted': adapted, 'loss_no_change': 1.0}
    assert said in verdict(losses)


def test_the_command_reads_bags_and_sums_up(walks, tmp_path, capsys):
    walks.write_bag(tmp_path / 'bags' / 'walk', walks.walk(40))
    numbers = tmp_path / 'shadow.json'
    arguments = ['--bundle', 'millirobot/path/mb', '--threads', '1', '--json', str(numbers)]
    assert main(['shadow', str(tmp_path / 'bags'), *arguments]) == 0
    said = capsys.readouterr().out
    found = json.loads(numbers.read_text())
    assert not [*misfits('shadow', found)]
    assert found['steps'] == 38 and found['steps_with_window'] == 38 - 23
    assert f'38 control steps, {38 - 23} with a whole window' in said and 'left_legs' in said
    walks.write_bag(tmp_path / 'short' / 'walk', walks.walk(20))
    assert main(['shadow', str(tmp_path / 'short'), *arguments]) == 2
    assert 'no piece of 24 control steps was kept: short' in capsys.readouterr().err
