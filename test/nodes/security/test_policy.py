# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped SROS2 policy allows all that nodes do, and nothing that they do not do."""

import argparse
import os
import xml.etree.ElementTree as ET

import pytest
from topic_notes import OPTIONS, PLANNED

from mbmrl_ros.cli.main import main
from mbmrl_ros.config import share_directory
from mbmrl_ros.nodes import EXECUTABLES
from mbmrl_ros.nodes.security.entities import APART, Entities, hall
from mbmrl_ros.nodes.security.policy import policy, setups
from mbmrl_ros.spec.robot import load_robot

SHIPPED = share_directory() / 'config' / 'sros2' / 'half_cheetah.policy.xml'
RULES = {
    'topics': ('topic', {'publish', 'subscribe'}),
    'services': ('service', {'reply', 'request'}),
}


def allowed(text):
    """Return what a policy allows, by enclave; it must be of the format of SROS2 (policy.xsd)."""
    root = ET.fromstring(text)
    assert (root.tag, root.attrib) == ('policy', {'version': '0.2.0'})
    [enclaves] = root
    assert enclaves.tag == 'enclaves' and len(enclaves)
    found = {}
    for enclave in enclaves:
        assert (enclave.tag, set(enclave.attrib)) == ('enclave', {'path'})
        [profiles] = enclave
        [profile] = profiles
        assert (profiles.tag, profile.tag) == ('profiles', 'profile')
        assert set(profile.attrib) == {'ns', 'node'}
        rules = {'publish': [], 'subscribe': [], 'reply': [], 'request': []}
        for group in profile:
            item, attributes = RULES[group.tag]
            [(rule, value)] = group.attrib.items()
            assert rule in attributes and value == 'ALLOW' and len(group)
            assert {each.tag for each in group} == {item}
            rules[rule] += [each.text for each in group]
        names = [name for group in rules.values() for name in group]
        assert all(name.startswith('/') and name.strip() == name for name in names)
        assert all(len(set(group)) == len(group) for group in rules.values())
        found[enclave.get('path')] = Entities(*map(frozenset, rules.values()))
    assert len(found) == len(enclaves), 'an enclave is there twice'
    return found


@pytest.fixture
def running(observation):
    """What the nodes have when they run, by enclave: each has been started for it."""
    return observation.enclaves


@pytest.fixture(scope='module')
def shipped():
    return allowed(SHIPPED.read_text())


def test_every_entity_of_every_node_is_allowed_and_nothing_else(running, shipped):
    assert running.keys() == shipped.keys()
    assert {path.rpartition('/')[2] for path in running} == {*EXECUTABLES, 'by_hand'}
    for path, entities in running.items():
        for rule, names in entities._asdict().items():
            listed = getattr(shipped[path], rule)
            assert names <= listed, f'{path} may not {rule} {sorted(names - listed)}'
            assert listed <= names, f'{path} does not {rule} {sorted(listed - names)}'


def test_what_every_ros_node_has_is_among_them(running):
    for path, entities in running.items():
        node = path.rpartition('/')[2].replace('by_hand', 'mbmrl_by_hand')
        assert {'/rosout', '/parameter_events'} <= entities.publish, path
        assert f'/{node}/set_parameters' in entities.reply
        if node in EXECUTABLES:
            assert f'/{node}/change_state' in entities.reply
            assert f'/{node}/transition_event' in entities.publish
            assert '/diagnostics' in entities.publish or node == 'player_node'
    assert '/clock' in running['/mbmrl/sim/controller_node'].subscribe
    assert '/clock' not in running['/mbmrl/robot/controller_node'].subscribe


def test_only_who_is_meant_to_drives_a_robot_or_teaches_it(shipped):
    assert '*' not in SHIPPED.read_text()

    def publishers(topic, setup):
        paths = [path for path in shipped if path.startswith(f'/mbmrl/{setup}/')]
        return {path.rpartition('/')[2] for path in paths if topic in shipped[path].publish}

    drivers = {'controller_node', 'collector_node'}
    assert publishers('/joint_commands', 'robot') == {'command_gate'}
    assert publishers('/wanted_commands', 'robot') == drivers
    assert publishers('/joint_commands', 'sim') == drivers
    assert publishers('/joint_commands', 'play') == set()
    for setup in ('robot', 'sim'):
        assert publishers('/learning/policy', setup) == {'policy_learner_node'}
        assert publishers('/learning/model', setup) == {'model_learner_node'}
        assert publishers('/learning/episodes', setup) == {'collector_node'}
    # Services of other nodes are called by hand, and that of the simulator by the collector.
    callers = {path: names.request for path, names in shipped.items() if names.request}
    assert callers.pop('/mbmrl/sim/collector_node') == {'/sim_node/reset'}
    assert {path.rpartition('/')[2] for path in callers} == {'by_hand'}


def test_where_plans_are_made_in_the_model_its_learner_sends_it_to_the_collector(
    observation, tmp_path
):
    plan = setups(argparse.Namespace(**vars(OPTIONS) | PLANNED), tmp_path)
    assert 'policy_learner_node' not in plan['robot'] | plan['sim']
    collector, learner = (
        observation.others[name] for name in ('collector_node', 'model_learner_node')
    )
    assert '/learning/model' in collector.subscribe & learner.publish
    assert '/learning/policy' not in collector.subscribe


def test_names_in_a_namespace_are_written_in_full():
    entities = Entities(frozenset({'/a/b/x'}), frozenset(), frozenset({'/a/b/n/s'}), frozenset())
    text = policy(load_robot('half_cheetah'), {'/mbmrl/sim/n': entities}, 'a/b')
    assert allowed(text) == {'/mbmrl/sim/n': entities}
    assert '<profile ns="/a/b" node="n">' in text


def test_nodes_are_started_where_no_robot_hears_them_and_the_surroundings_stay():
    before = dict(os.environ)
    with hall(load_robot('half_cheetah')):
        assert {name: os.environ[name] for name in APART} == APART
        assert APART['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'OFF'
    assert dict(os.environ) == before


def test_wrong_input_is_said_in_a_line(tmp_path, capsys):
    out = str(tmp_path / 'policy.xml')
    assert main(['security', '--robot', 'nobody', '--out', out]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert 'nobody' in line and not (tmp_path / 'policy.xml').exists()
