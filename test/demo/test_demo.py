# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo as a newcomer runs it, only shorter: nodes, topics, bags, table, page."""

import json

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from mbmrl_ros.cli import main
from mbmrl_ros.config import UserError
from mbmrl_ros.demo.outcomes import CONTENDERS
from mbmrl_ros.nodes.episode import Episode
from mbmrl_ros.nodes.read_bag import read_run
from mbmrl_ros.spec import load_robot

STEPS = 100
SPEC = load_robot('half_cheetah')


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp('demo')
    assert main(['demo', '--steps', str(STEPS), '--seeds', '1', '--out', str(out)]) == 0
    return out


def test_summary_has_the_documented_keys_with_a_value_per_seed(demo):
    summary = json.loads((demo / 'summary.json').read_text())
    assert summary['task'] == 'half_cheetah/disabled_joint'
    assert summary['seeds'] == [0] and summary['failure_step'] == STEPS // 3
    assert set(summary['controllers']) == {'mb', 'mb_de', 'grbal'}
    for numbers in summary['controllers'].values():
        for key in ('return_before', 'return_after', 'distance_m', 'loss_before', 'loss_after'):
            assert len(numbers[key]) == 1 and np.isfinite(numbers[key][0])
        assert numbers['tick_ms']['p99'][0] >= numbers['tick_ms']['median'][0] > 0
        total = numbers['return_before'][0] + numbers['return_after'][0]
        assert total == pytest.approx(numbers['return'][0], abs=1e-3)


def test_only_the_adapting_controllers_change_their_loss(demo):
    numbers = json.loads((demo / 'summary.json').read_text())['controllers']
    assert numbers['mb']['loss_before'] == numbers['mb']['loss_after']
    for key in ('mb_de', 'grbal'):
        assert numbers[key]['loss_before'] != numbers[key]['loss_after']


def test_page_is_self_contained(demo):
    page = (demo / 'report.html').read_text()
    assert page.count('data:image/png;base64,') == 4
    assert 'src="http' not in page and '<script' not in page
    assert (demo / 'overview.png').stat().st_size > 5000


@pytest.mark.parametrize('contender', [c.key for c in CONTENDERS])
def test_every_run_is_a_bag_with_all_topics_and_no_step_lost(demo, contender):
    with AnyReader([demo / f'{contender}_seed0' / 'bag']) as reader:
        counts = {c.topic.removeprefix('/demo/'): c.msgcount for c in reader.connections}
    sensors = [*SPEC.topics, 'sim_node/applied_command', 'controller_node/stats']
    assert all(counts[topic] >= STEPS for topic in sensors)
    assert counts['/clock'] > 0


def test_all_controllers_start_from_the_same_state(demo):
    starts = [
        read_run(demo / f'{c.key}_seed0' / 'bag', episode()).trajectory.states[0]
        for c in CONTENDERS
    ]
    assert (starts[0] == starts[1]).all() and (starts[0] == starts[2]).all()


def test_a_bag_that_is_too_short_is_refused(demo):
    with pytest.raises(UserError, match='instead of 100000'):
        read_run(demo / 'mb_seed0' / 'bag', episode(100_000))


def episode(steps=STEPS):
    return Episode(SPEC, steps, (), {}, {})
