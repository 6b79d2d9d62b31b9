# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model that is fitted epoch by epoch while data grow: to all, at the cost of what is new."""

import pytest
import torch

from mbmrl_ros.algorithms import ALGORITHMS, LEARNERS
from mbmrl_ros.data.dataset import Trajectory, all_transitions, split_all
from mbmrl_ros.models.normalizer import Normalizer
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics import stages
from mbmrl_ros.training.dynamics.fit_model import ModelTraining

SPEC = load_robot('half_cheetah')
STEPS, EPOCHS = 12, 12
SMALL = {
    'rollouts': 2, 'rollout_steps': STEPS, 'past_steps': 4, 'future_steps': 2,
    'hidden_sizes': (4,), 'batch_size': 8, 'validation_fraction': 0.5,
}  # fmt: skip


def training_of(name, **changes):
    config = ALGORITHMS[name].Config.model_validate(SMALL | changes)
    return ModelTraining(LEARNERS[name], SPEC, config, 0)


def pieces_of(count):
    generator = torch.Generator().manual_seed(0)
    return [
        Trajectory(
            torch.randn(STEPS + 1, SPEC.state_size, generator=generator),
            torch.rand(STEPS, SPEC.action_size, generator=generator),
            torch.full((STEPS,), -1),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ('name', 'changes'),
    [
        ('mb', {}),
        ('grbal', {}),
        ('rebal', {}),
        ('rebal', {'recurrent': {'memory': 'episode', 'episodes': 2}}),
    ],
)
def test_epochs_on_growing_data_are_those_on_data_joined_anew(name, changes):
    training, pieces, recorded = training_of(name, **changes), pieces_of(EPOCHS), pieces_of(4)
    grown, anew = stages.begin(training, {}), stages.begin(training, {})
    for count in range(1, EPOCHS + 1):
        groups = [recorded, pieces[:count]]
        grown, metrics = stages.fit_epoch(training, grown, groups, count)
        # One that has joined nothing before.
        fresh = stages.begin(training, {})
        anew = anew._replace(known=fresh.known, unseen=fresh.unseen)
        anew, wanted = stages.fit_epoch(training, anew, groups, count)
        assert metrics == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)
        known, unseen = split_all(groups, training.config.validation_fraction)
        assert list(grown.known) == known and list(grown.unseen) == unseen
        for found, value in zip(
            vars(grown.normalizer).values(),
            vars(Normalizer.fit(all_transitions(known))).values(),
            strict=True,
        ):
            torch.testing.assert_close(found, value, rtol=2e-7, atol=1e-7)
    tensors = anew.tensors()
    assert all(torch.equal(value, tensors[key]) for key, value in grown.tensors().items())
    # The last epoch of `anew` joined all of it once.
    assert grown.known.copied <= 3 * anew.known.copied
    before = grown.known.copied, grown.unseen.copied
    grown, _ = stages.fit_epoch(training, grown, groups, EPOCHS + 1)
    assert (grown.known.copied, grown.unseen.copied) == before
