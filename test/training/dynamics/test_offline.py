# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training on recordings: resumed, started from another run, with what the settings ask for."""

import pytest
import torch

from mbmrl_ros.algorithms import LEARNERS
from mbmrl_ros.algorithms.grbal import GrBALConfig
from mbmrl_ros.algorithms.mb import MBConfig
from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.data.dataset import Trajectory
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics import offline
from mbmrl_ros.training.dynamics.fit_model import ModelTraining
from mbmrl_ros.training.dynamics.offline import train_offline
from mbmrl_ros.training.run import Run

SPEC = load_robot('millirobot')
CONFIG = MBConfig(
    past_steps=4, future_steps=4, hidden_sizes=(16,), batch_size=16, epochs=4, patience=4,
    validation_fraction=0.25, yaw_augmentation=True, sensor_bias_std={'z': 0.03}, weight_decay=0.1,
    learning_rate_decay='cosine', precision='float32',
)  # fmt: skip


def recordings(count: int = 8, steps: int = 30) -> list[Trajectory]:
    """Return walks whose next state depends on state and action."""
    generator = torch.Generator().manual_seed(0)
    result = []
    for _ in range(count):
        states = [torch.randn(SPEC.state_size, generator=generator)]
        actions = torch.rand(steps, SPEC.action_size, generator=generator) * 2 - 1
        for action in actions:
            noise = 0.01 * torch.randn(SPEC.state_size, generator=generator)
            states.append(0.9 * states[-1] + action.sum() + noise)
        result.append(Trajectory(torch.stack(states), actions, torch.full((steps,), -1)))
    return result


def train(folder, algorithm='mb', source=None, config=CONFIG, data=None):
    if algorithm == 'grbal':
        config = GrBALConfig(**config.model_dump(), step_sizes='unit')
    run = Run(folder, config, {'algorithm': algorithm})
    if source is not None:
        run.adopt(source)
    training = ModelTraining(LEARNERS[algorithm], SPEC, config, 0)
    return train_offline(training, 'millirobot/recordings', data or recordings(), run)


def test_a_model_learns_and_its_bundle_is_the_robots(tmp_path):
    config = CONFIG.model_copy(update={'learning_rate': 0.01, 'epochs': 30, 'patience': 30})
    bundle = train(tmp_path, config=config)
    loaded = load_bundle(tmp_path / 'bundle', SPEC)
    assert torch.equal(loaded.params['weight0'], bundle.params['weight0'])
    assert (loaded.info.task, loaded.info.robot) == ('millirobot/recordings', 'millirobot')
    # A model that knows nothing has the variance of normalised changes, 1, for its loss.
    assert bundle.info.metrics['validation_loss'] < 0.7
    assert 'return_mean' not in bundle.info.metrics


def test_the_same_seed_gives_the_same_model(tmp_path):
    first, second = train(tmp_path / 'a'), train(tmp_path / 'b')
    assert all(torch.equal(first.params[k], second.params[k]) for k in first.params)


def test_a_run_that_is_done_is_not_done_again(tmp_path, monkeypatch):
    first = train(tmp_path)
    monkeypatch.setattr(offline, 'fit_model', None)
    second = train(tmp_path)
    assert torch.equal(first.params['weight0'], second.params['weight0'])


def test_a_run_that_was_killed_in_the_fit_starts_it_again_and_ends_alike(tmp_path, monkeypatch):
    reference = train(tmp_path / 'whole')

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(offline, 'save_bundle', killed)
        train(tmp_path / 'killed')
    again = train(tmp_path / 'killed')
    assert all(torch.equal(again.params[k], reference.params[k]) for k in reference.params)


def test_grbal_starts_from_the_weights_of_mb_with_a_step_size_per_unit(tmp_path):
    mb = train(tmp_path / 'mb')
    config = CONFIG.model_copy(update={'learning_rate': 1e-9, 'weight_decay': 0.0})
    grbal = train(tmp_path / 'grbal', 'grbal', tmp_path / 'mb', config)
    for name, value in grbal.params.items():
        torch.testing.assert_close(value, mb.params[name], rtol=0, atol=1e-5)
    assert {name: size.shape for name, size in grbal.step_sizes.items()} == {
        name: value.shape[:1] for name, value in grbal.params.items()
    }
    # They were trained: no longer all the one they started with.
    assert grbal.step_sizes['bias1'].std() > 0


def test_weight_decay_pulls_the_weights_and_nothing_else_to_zero(tmp_path):
    plain = {'learning_rate': 0.01, 'learning_rate_decay': 'none'}
    none, strong = (
        train(
            tmp_path / str(decay), config=CONFIG.model_copy(update=plain | {'weight_decay': decay})
        )
        for decay in (0.0, 10.0)
    )
    for name in ('weight0', 'weight1'):
        assert strong.params[name].norm() < 0.7 * none.params[name].norm()
    assert strong.params['scale'].norm() > 0.9 * none.params['scale'].norm()


def test_the_learning_rate_falls_to_zero_by_a_cosine(tmp_path, monkeypatch):
    from mbmrl_ros.training.dynamics import fit_model as objective

    rates = []

    def fit(parameters, optimiser, losses, schedule, precision, on_epoch):
        for epoch in range(schedule.epochs):
            rates.append(optimiser.param_groups[0]['lr'])
            optimiser.step()
            on_epoch(epoch, 0.0, 0.0)
        rates.append(optimiser.param_groups[0]['lr'])
        return objective.FitResult((0.0,), (0.0,), 0)

    monkeypatch.setattr(objective, 'fit', fit)
    train(tmp_path)
    # 1e-3 * (1 + cos(pi k / 4)) / 2 at k = 0, 1, 2, 3, 4.
    expected = [1.0, 0.853553, 0.5, 0.146447, 0.0]
    assert [rate / 1e-3 for rate in rates] == pytest.approx(expected, abs=1e-6)


def test_too_few_trajectories_are_refused(tmp_path):
    with pytest.raises(UserError, match=r'3 trajectories are too few: .* at least 4'):
        train(tmp_path, data=recordings(3, steps=15))


def test_one_long_recording_is_cut_so_that_a_part_of_it_can_be_held_out(tmp_path):
    train(tmp_path, data=recordings(1, steps=80))
    pieces = Run(tmp_path, CONFIG, {'algorithm': 'mb'}).load_data(1)
    assert [piece.steps for piece in pieces] == [20] * 4


def test_pieces_without_a_window_are_left_out_where_only_such_would_be_held_out(tmp_path):
    short = recordings(4, steps=7)
    train(tmp_path, data=[*short[:1], *recordings(1, steps=80), *short[1:]])
    pieces = Run(tmp_path, CONFIG, {'algorithm': 'mb'}).load_data(1)
    assert [piece.steps for piece in pieces] == [20] * 4
