# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Layouts of Foxglove and PlotJuggler against what the nodes publish."""

import json
import re
from pathlib import Path as File
from xml.etree import ElementTree

import numpy as np
import pytest
from nav_msgs.msg import Path
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64MultiArray

from mbmrl_ros.nodes.controller.report import STATS, stats_message
from mbmrl_ros.nodes.controller.visuals import cloud_message
from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.tick import Diagnostics, Tick
from mbmrl_ros.spec.robot import load_robot

CONFIG = File(__file__).resolve().parents[3] / 'config'
FOXGLOVE = json.loads((CONFIG / 'foxglove_layout.json').read_text())
PLOTJUGGLER = ElementTree.parse(CONFIG / 'plotjuggler_layout.xml').getroot()
# Of robot_state_publisher, and of every node.
OF_OTHERS = {'/robot_description', '/diagnostics'}
# What a curve is called, and what it must be.
NAMES = {
    'as trained': 'loss_before', 'as adapted': 'loss_after', 'tick': 'tick_s',
    'adapting': 'adapt_s', 'planning': 'plan_s', 'latency': 'latency_s',
    'expected return': 'expected_return', 'model changed': 'adapted', 'change refused': 'refused',
    'safe command instead of a plan': 'fallback',
}  # fmt: skip


@pytest.fixture(scope='module')
def message():
    return stats_message(Tick(Command(1.0, np.zeros(1), False, ''), Diagnostics()))


def labels(message):
    return [dimension.label for dimension in message.layout.dim]


def foxglove_curves():
    """Yield topic, field and label of all curves."""
    for name, panel in FOXGLOVE['configById'].items():
        if name.startswith('Plot!'):
            for curve in panel['paths']:
                topic, _, field = curve['value'].partition('.')
                yield topic, field, curve['label']


def plotjuggler_curves():
    for snippet in PLOTJUGGLER.iter('snippet'):
        assert snippet.findtext('function') == 'return value'
        topic, _, field = snippet.findtext('linked_source').rpartition('/')
        yield topic, field, snippet.get('name')


@pytest.mark.parametrize('curves', [foxglove_curves, plotjuggler_curves])
def test_every_curve_is_the_number_that_its_name_says(message, curves):
    found = {}
    for topic, field, label in curves():
        assert topic == '/controller_node/stats'
        [place] = re.fullmatch(r'data\[(\d+)\]', field).groups()
        found[label] = labels(message)[int(place)]
    assert found == NAMES and labels(message) == list(STATS)


def test_plots_show_curves_that_there_are():
    plotted = [curve.get('name') for curve in PLOTJUGGLER.iter('curve')]
    assert sorted(plotted) == sorted(
        snippet.get('name') for snippet in PLOTJUGGLER.iter('snippet')
    )


def test_panels_of_the_arrangement_are_those_that_are_set_up():
    def leaves(node):
        if isinstance(node, str):
            return [node]
        return leaves(node['first']) + leaves(node['second'])

    assert sorted(leaves(FOXGLOVE['layout'])) == sorted(FOXGLOVE['configById'])


def test_topics_are_those_that_the_controller_publishes(bench, make_bundle, tmp_path):
    robot = load_robot('millirobot')
    bundle = make_bundle(tmp_path / 'bundle', spec=robot, task='millirobot/path')
    node = bench.controller(robot='millirobot', bundle=str(bundle))
    published = {publisher.topic_name: publisher.msg_type for publisher in node.publishers}
    scene = FOXGLOVE['configById']['3D!scene']
    kinds = {'line': Path, 'cloud': PointCloud2}
    for topic, settings in scene['topics'].items():
        assert published[topic] is kinds[settings.get('type', 'cloud')]
    assert published['/controller_node/stats'] is Float64MultiArray
    assert published['/diagnostics'].__name__ == 'DiagnosticArray'
    others = {scene['layers']['urdf']['topic'],
              FOXGLOVE['configById']['DiagnosticSummary!all']['topicToRender']}  # fmt: skip
    assert others == OF_OTHERS
    cloud = scene['topics']['/controller_node/candidate_trajectories']
    fields = cloud_message(np.zeros((1, 2, 3)), np.zeros(1), 0, 'odom').fields
    assert cloud['colorField'] in [field.name for field in fields]
