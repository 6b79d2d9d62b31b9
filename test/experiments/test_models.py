# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models are trained by the very settings that every committed result was made with."""

import json
from pathlib import Path

import pytest

from mbmrl_ros.experiments.cells import expand
from mbmrl_ros.experiments.jobs import Selection
from mbmrl_ros.experiments.outcomes import finished
from mbmrl_ros.experiments.studies import MODELS, Setting, Variant
from mbmrl_ros.experiments.trainings import training_of

# Of the files of settings that were there before recipes: `configs` are differences to `defaults`,
# `models` by model and task the number of its config, what it starts from, whether with its data,
# and its training distribution under the test T.
RECORD = json.loads((Path(__file__).parent / 'models.json').read_text())


def written(config):
    """Return settings as the record has them."""
    planners = ('planner', 'control_planner')
    kinds = {name: {'kind': getattr(config, name).kind} for name in planners}
    values = config.model_dump(mode='json')
    return values | {name: kinds[name] | values[name] for name in planners}


def test_the_record_knows_every_model():
    assert {name.split()[0] for name in RECORD['models']} == set(MODELS)


@pytest.mark.parametrize('model', MODELS)
def test_every_model_is_trained_by_the_settings_of_its_results(model):
    for name, (number, start_from, with_data, distribution) in RECORD['models'].items():
        if name.split()[0] != model:
            continue
        task = name.split()[1]
        made = training_of(model, Setting(task=task, test='T'), Variant(), 0, Selection())
        wanted = RECORD['defaults'] | RECORD['configs'][number]
        found = written(made.config)
        # A class of settings may lack what is another algorithm's, where nothing was set.
        absent = {key for key in wanted if key not in found}
        assert not absent & RECORD['configs'][number].keys(), name
        assert found == {key: wanted[key] for key in wanted if key not in absent}, name
        assert (made.source.folder.parent.name if made.source else '') == start_from, name
        assert (made.with_data, made.distribution) == (with_data, distribution), name


@pytest.mark.parametrize(
    'name', ['generalisation', 'fit', 'far', 'test-time', 'training-distribution']
)
def test_results_of_before_are_not_made_again(name):
    folder = Path(__file__).parents[2] / 'docs' / 'results' / 'adaptation'
    jobs = expand([name], Selection(seeds=(0,), candidates=128))
    there = [job for job in jobs if (folder / job.work.path).exists()]
    assert len(there) > 5
    assert all(finished(job, folder) for job in there)
