# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bytes from a topic: what is taken, and what is refused with which reason."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save

from mbmrl_ros.nodes.learners.mailbox import MOST_KEPT, Mailbox
from mbmrl_ros.nodes.learners.parcels import (
    MOST_BYTES,
    Layout,
    Origin,
    Parcel,
    Version,
    message_of,
    unpack,
)

ORIGIN = Origin('hash', 'mb_mpo', 'half_cheetah/thesis')
WEIGHTS = {'params/w': torch.arange(6.0).view(2, 3), 'params/b': torch.ones(2)}
LAYOUT = Layout(WEIGHTS, {'adapted/w': torch.zeros(1, 2, 3), 'adapted/b': torch.zeros(1, 2)})
EPISODE = Layout({'states': torch.zeros(2, 3), 'actions': torch.zeros(1, 1)}, free_length=True)


def packed(version=(1, 1), tensors=None, origin=ORIGIN, kind='policy'):
    return Parcel(kind, Version(*version), tensors or WEIGHTS).pack(origin)


def reason(data, layout=LAYOUT):
    found = unpack(data, 'policy', ORIGIN, layout)
    return found if isinstance(found, str) else ''


def test_what_was_packed_comes_out():
    adapted = {'adapted/w': torch.rand(7, 2, 3), 'adapted/b': torch.rand(7, 2)}
    for tensors in (WEIGHTS, WEIGHTS | adapted):
        found = unpack(packed((2, 30), tensors), 'policy', ORIGIN, LAYOUT)
        assert isinstance(found, Parcel) and found.version == (2, 30)
        assert found.tensors.keys() == tensors.keys()
        assert all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'origin': ORIGIN._replace(robot='other')}, 'of another robot'),
        ({'origin': ORIGIN._replace(algorithm='me_trpo')}, 'of another algorithm'),
        ({'origin': ORIGIN._replace(task='ant/thesis')}, 'of another task'),
        ({'kind': 'model'}, 'it is no policy'),
        ({'tensors': WEIGHTS | {'params/b': torch.tensor([1, torch.nan])}}, 'is not finite'),
        ({'tensors': WEIGHTS | {'params/b': torch.ones(3)}}, r'(3,) and not (2,)'),
        ({'tensors': WEIGHTS | {'params/b': torch.ones(2).double()}}, 'params/b is torch.float64'),
        ({'tensors': {'params/w': WEIGHTS['params/w']}}, 'params/b is missing'),
        ({'tensors': WEIGHTS | {'params/c': torch.ones(1)}}, 'params/c is unknown'),
        ({'tensors': WEIGHTS | {'adapted/w': torch.zeros(3, 2, 3)}}, 'adapted/b is missing'),
    ],
)
def test_what_is_for_others_or_no_number_is_refused(change, said):
    assert said in reason(packed(**change))


def test_bytes_that_are_cut_or_changed_or_too_many_are_refused():
    data = packed()
    for end in range(len(data)):
        assert reason(data[:end]).startswith('damaged'), end
    assert reason(data + b'x').startswith('damaged')
    assert reason(b'\xff' * 8 + data[8:]).startswith('damaged')
    assert reason(save(WEIGHTS)).startswith('damaged'), 'without what it is of'
    assert reason(bytes(MOST_BYTES + 1)) == f'more than {MOST_BYTES} bytes'
    for version in (b'a.1', b'1.0', b'1.-', b'-.1', b'111'):
        whole = data.replace(b'"version":"1.1"', b'"version":"' + version + b'"')
        assert whole != data and reason(whole).startswith('damaged'), version


@pytest.mark.parametrize(
    ('states', 'actions', 'said'),
    [(9, 8, ''), (2, 1, ''), (9, 9, 'not equally long'), (1, 0, 'not equally long')],
)
def test_an_episode_is_as_long_as_it_is_and_has_a_state_more_than_actions(states, actions, said):
    tensors = {'states': torch.zeros(states, 3), 'actions': torch.zeros(actions, 1)}
    found = reason(packed(tensors=tensors), EPISODE)
    assert said in found and bool(said) == bool(found)


def accepted(mailbox, *versions):
    return [
        mailbox.accept(SimpleNamespace(data=message_of(packed(version)).data)) is not None
        for version in versions
    ]


def test_the_newest_value_wins_and_one_that_was_started_again_is_newer():
    mailbox = Mailbox('policy', ORIGIN, LAYOUT)
    assert accepted(mailbox, (1, 5), (1, 5), (1, 6), (1, 2)) == [True, False, True, False]
    assert mailbox.refused == {'older than what is here': 1}
    assert mailbox.last_refusal == 'older than what is here'
    # After a kill it goes on from a checkpoint of before.
    assert accepted(mailbox, (2, 3)) == [True]
    assert mailbox.newest.version == (2, 3) and mailbox.last_refusal == ''
    assert mailbox.values()['policy.version'] == (2, 3)


def test_where_all_count_each_counts_once_in_any_order():
    mailbox = Mailbox('policy', ORIGIN, LAYOUT, keep_all=True)
    assert accepted(mailbox, (0, 2), (0, 1), (0, 2), (0, 3)) == [True, True, False, True]
    assert not mailbox.refused and mailbox.newest.version == (0, 3)


def test_a_number_that_no_collector_comes_to_takes_no_memory():
    mailbox = Mailbox('policy', ORIGIN, LAYOUT, keep_all=True)
    assert mailbox.accept(message_of(packed((0, MOST_KEPT)))) is not None
    assert mailbox.accept(message_of(packed((0, MOST_KEPT + 1)))) is None
    assert mailbox.last_refusal == f'its number is above {MOST_KEPT}'
