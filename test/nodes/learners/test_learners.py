# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The work of the learners, without their nodes: what they make of what they are sent."""

import errno
import os
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import save
from scripted_link import Link
from small_learning import OWN, parameters

from mbmrl_ros.bundles.policy import load_policy
from mbmrl_ros.cli.main import main
from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.learners.learner_topics import LearnerTopics
from mbmrl_ros.nodes.learners.link import Stopped
from mbmrl_ros.nodes.learners.model_learner import learn_model
from mbmrl_ros.nodes.learners.parcels import Parcel, unpack
from mbmrl_ros.nodes.learners.parts import EPISODE, MODEL, POLICY, as_tensors, sent
from mbmrl_ros.nodes.learners.plan import plan_part
from mbmrl_ros.nodes.learners.policy_learner import improve_policy
from mbmrl_ros.nodes.learners.proposals import by_policy
from mbmrl_ros.nodes.learners.settings import LearnerSettings
from mbmrl_ros.nodes.learners.signing import NO_KEY
from mbmrl_ros.training.run import Run
from mbmrl_ros.training.search.stages import collect


@pytest.fixture
def request_of(tmp_path):
    def make(algorithm):
        given = parameters(algorithm, tmp_path) | {'niceness': 0}
        given['settings'] = tuple(given['settings'])
        return given

    return make


def episodes_of(part, count):
    """Return random episodes by their numbers, as they are sent."""
    part.search.env.system  # noqa: B018
    return {
        str(number): save(
            as_tensors(collect(part.search, None, torch.Generator().manual_seed(number))[0])
        )
        for number in range(1, count + 1)
    }


def work(function, request, inbox, steps):
    link = Link(inbox, steps)
    with pytest.raises(Stopped):
        function(link, request)
    return link


def test_models_are_fitted_epoch_by_epoch_to_what_has_come(request_of):
    request = request_of('mb_mpo')
    part = plan_part(LearnerSettings(**request))
    episodes = episodes_of(part, 4)
    first = {'1': episodes['1'], '3': episodes['3']}
    link = work(learn_model, request, [first, {'2': episodes['2']}], 40)
    progress = [p for p in link.all('progress') if 'validation_error' in p]
    layout = part.layouts[MODEL]
    parcels = [unpack(data, MODEL, part.origin, layout) for data in link.all('parcel')]
    assert [parcel.version for parcel in parcels] == [(1, n) for n in range(1, len(parcels) + 1)]
    assert len(progress) == len(parcels)
    # An epoch that is worse leaves the models as they were.
    assert all(p['validation_error'] <= p['validation_before'] for p in progress)
    assert progress[-1]['validation_error'] < 0.95 * progress[1]['validation_before']


def test_the_error_on_an_episode_is_that_before_it_was_learned_from(request_of):
    request = request_of('mb_mpo')
    part = plan_part(LearnerSettings(**request))
    episodes = episodes_of(part, 4)
    first = {'1': episodes['1'], '3': episodes['3']}
    # The second comes late: what is newest stays the third.
    inbox = [first, {}, {'2': episodes['2']}, {}, {'4': episodes['4']}, {}]
    link = work(learn_model, request, inbox, 6)
    errors = [p['error_on_new_data'] for p in link.all('progress') if 'validation_error' in p]
    assert len(set(errors[:4])) == len(set(errors[4:])) == 1 and errors[3] != errors[4]


def test_models_go_on_from_their_last_checkpoint_as_newer_ones(request_of, tmp_path):
    request = request_of('mb_mpo') | {'checkpoint_s': 1e-6}
    part = plan_part(LearnerSettings(**request))
    episodes = episodes_of(part, 2)
    first, again = (work(learn_model, request, [episodes], steps) for steps in (4, 1))
    layout = part.layouts[MODEL]
    *_, kept, lost = (unpack(d, MODEL, part.origin, layout) for d in first.all('parcel'))
    begun, went_on = (unpack(d, MODEL, part.origin, layout) for d in again.all('parcel'))
    # The fourth epoch came after the last checkpoint.
    assert (kept.version, lost.version) == ((1, 3), (1, 4))
    assert (begun.version, went_on.version) == ((2, 3), (2, 4))
    assert all(torch.equal(value, kept.tensors[name]) for name, value in begun.tensors.items())
    assert begun.version > lost.version


@pytest.mark.parametrize('algorithm', OWN)
def test_a_policy_is_improved_a_step_at_a_time_by_the_functions_of_training(
    request_of, tmp_path, algorithm
):
    request = request_of(algorithm)
    part = plan_part(LearnerSettings(**request))
    episodes = episodes_of(part, 3)
    search = part.changed(part.stages.asynchronous)
    models = {k: v.clone() for k, v in sent(search.begin_models().tensors()).items()}
    models = save(models)
    # It waits for models and for episodes.
    link = work(improve_policy, request, [episodes, {MODEL: models}], 4)
    assert link.waited == 1
    layout = part.layouts[POLICY]
    parcels = [unpack(data, POLICY, part.origin, layout) for data in link.all('parcel')]
    assert [parcel.version for parcel in parcels] == [(1, 1), (1, 2), (1, 3)]
    begun, last = part.stages.begin(search), parcels[-1].tensors
    assert any(not torch.equal(last[name], value) for name, value in begun.items())
    bundle = load_policy(tmp_path / POLICY / 'bundle')
    assert all(torch.equal(bundle.params[k.partition('/')[2]], v)
               for k, v in parcels[-1].tensors.items() if k.startswith('params/'))  # fmt: skip
    assert bundle.info.algorithm == algorithm and bundle.info.iteration == 3

    # Started again, it first says what it has, and goes on from there.
    again = work(improve_policy, request, [episodes | {MODEL: models}], 1)
    first, second = (unpack(d, POLICY, part.origin, layout) for d in again.all('parcel'))
    assert (first.version, second.version) == ((2, 3), (2, 4))
    assert all(torch.equal(v, parcels[-1].tensors[k]) for k, v in first.tensors.items())
    run = Run(tmp_path / POLICY, part.search.config, {
        'algorithm': algorithm, 'task': part.search.task.name, 'part': POLICY, 'seed': 0,
    })  # fmt: skip
    assert run.load_checkpoint()[0] == 4


def test_a_policy_learned_beside_a_robot_is_evaluated_and_has_no_page_of_its_own(
    request_of, tmp_path, capsys
):
    request = request_of('mb_mpo')
    part = plan_part(LearnerSettings(**request))
    models = {k: v.clone() for k, v in sent(part.search.begin_models().tensors()).items()}
    work(improve_policy, request, [episodes_of(part, 2) | {MODEL: save(models)}], 2)
    folder = str(tmp_path / POLICY)
    # Its models are in another folder.
    assert main(['evaluate', folder, '--episodes', '1', '--steps', '5']) == 0
    assert 'half_cheetah/thesis: return' in capsys.readouterr().out
    for command in (['report', folder], ['report', folder, folder + '/../policy']):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert 'is the policy of a training beside a robot' in error
        assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize('algorithm', OWN)
def test_the_robot_explores_by_draws_of_the_policy(request_of, algorithm):
    part = plan_part(LearnerSettings(**request_of(algorithm)))
    policy = sent(part.stages.begin(part.search))
    parcel = Parcel(POLICY, (1, 1), policy)
    state = torch.zeros(1, part.search.env.system.state_size)
    drawn = [
        by_policy(part, parcel, 0, torch.Generator().manual_seed(seed))(state)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert max(action.abs().max() for action in drawn) <= 1.0


@pytest.mark.parametrize('makes', [MODEL, POLICY])
def test_on_a_full_disk_a_learner_ends_with_a_line_and_goes_on_when_there_is_space(
    request_of, tmp_path, monkeypatch, makes
):
    request = request_of('mb_mpo') | {'checkpoint_s': 1e-6}
    part = plan_part(LearnerSettings(**request))
    models = {k: v.clone() for k, v in sent(part.search.begin_models().tensors()).items()}
    inbox = [episodes_of(part, 2) | ({MODEL: save(models)} if makes == POLICY else {})]
    learn = {MODEL: learn_model, POLICY: improve_policy}[makes]
    work(learn, request, inbox, 3)
    folder = tmp_path / makes
    before = {path: path.read_bytes() for path in folder.rglob('checkpoint*')}
    assert before

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr('mbmrl_ros.training.run.save_file', full)
        link = Link(inbox, 3)
        with pytest.raises(UserError, match='No space left on device; free some space'):
            learn(link, request)
    # It has sent what is on disk, and perhaps models that a checkpoint would have held.
    layout = part.layouts[makes]
    versions = [unpack(data, makes, part.origin, layout).version for data in link.all('parcel')]
    assert versions[0].start == 2 and len(versions) <= (2 if makes == MODEL else 1)
    assert {path: path.read_bytes() for path in folder.rglob('checkpoint*')} == before
    assert not list(folder.rglob('*.partial'))
    again = work(learn, request, inbox, 2)
    began, went_on = (unpack(d, makes, part.origin, layout) for d in again.all('parcel')[:2])
    assert began.version.start == 3 and went_on.version > began.version > versions[-1]


def test_a_piece_that_nothing_can_be_learned_from_is_waited_over(request_of):
    request = request_of('mb_mpo')
    part = plan_part(LearnerSettings(**request))
    layout = part.layouts[EPISODE]
    short = save(layout.tensors)
    link = work(learn_model, request, [{'1': short}], 3)
    assert not link.all('parcel') and link.waited == 3


def test_what_a_learner_warned_of_is_over_when_it_has_made_something_newer():
    topics = object.__new__(LearnerTopics)
    topics._node, topics._publisher, topics._signature = Mock(), Mock(), NO_KEY
    topics._bytes = topics._messages = 0
    topics._on_value('warning', 'a policy that is not finite')
    assert topics._warning
    topics._on_value('parcel', b'')
    assert not topics._warning and topics._publisher.publish.call_count == 1
