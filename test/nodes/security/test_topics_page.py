# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""docs/reference/topics.md is of the nodes as they are."""

import pytest
import reference_topics
import topic_meanings
from topic_notes import Endpoint, Notes

from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.nodes.controller.report import STATS


@pytest.fixture
def notes(observation):
    return observation.notes


def test_the_page_says_what_the_nodes_have(notes):
    assert reference_topics.PAGE.read_text() == reference_topics.page(notes.endpoints), (
        'python benchmarks/reference_topics.py writes it anew'
    )


def test_every_topic_and_key_has_a_meaning_and_no_meaning_is_of_nothing(notes):
    assert not [*reference_topics.problems(notes)]
    assert set(notes.diagnostics) == set(topic_meanings.DIAGNOSTICS)
    assert tuple(topic_meanings.STATS) == STATS
    assert topic_meanings.NODES.keys() == EXECUTABLES.keys()


def test_a_topic_or_key_without_a_meaning_is_found(notes):
    more = {'recorder_node': {Endpoint('hears', 'rumours', 'std_msgs/msg/Bool', 'reliable')}}
    with pytest.raises(LookupError, match='recorder_node hears rumours'):
        reference_topics.page(notes.endpoints | more)
    other = Notes()
    other.endpoints |= notes.endpoints | {'trainer_node': set()}
    other.diagnostics['gate'] = {'mood', 'commands: limited', 'notice 3'}
    found = [*reference_topics.problems(other)]
    assert "'mood' of the status 'gate' has no meaning" in found
    assert "trainer_node has no 'offers ~/stop'" in found
    assert len([text for text in found if 'status' in text]) == 1
