# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mbmrl break` and `mbmrl stop`: what a user asks of nodes that run, without the command ros2."""

import pytest

from mbmrl_ros.cli.main import main
from mbmrl_ros.nodes.by_hand import asking


@pytest.fixture
def patient(monkeypatch):
    """A machine that is busy with other tests finds nobody within seconds."""
    monkeypatch.setattr(asking, 'LOOK_S', 60.0)
    monkeypatch.setattr(asking, 'ANSWER_S', 20.0)


def test_a_joint_breaks_and_is_mended_and_everything_stops(bench, patient, capsys):
    bench.process('sim_node', robot='half_cheetah')
    bench.process('command_gate', robot='half_cheetah')
    bench.until_status('simulation', lambda *_: True)
    bench.until_status('gate', lambda *_: True)

    def said(*command: str, code: int = 0) -> str:
        assert main(list(command)) == code
        out, err = capsys.readouterr()
        return out + err

    assert 'disabled_joint:bfoot, disabled_joint:bshin' in said('break')
    assert 'sim_node: wrong now: disabled_joint:bthigh' in said('break', 'bthigh')
    bench.until_status('simulation', lambda _, v: v['disturbances'] == 'disabled_joint:bthigh')
    assert said('break', 'bthigh', '--mend') == 'sim_node: wrong now: none\n'
    assert 'disabled_joint:bfoot:0.5' in said('break', 'disabled_joint:bfoot:0.5')
    assert said('break', '--mend') == 'sim_node: wrong now: none\n'
    assert "has no 'btigh'; did you mean 'bthigh'?" in said('break', 'btigh', code=2)
    assert said('stop') == 'command_gate: latched; ~/release unlatches it\n'
    bench.until_status('gate', lambda message, _: 'emergency stop by service' in message)
    assert said('stop', '--release') == 'command_gate: released\n'


@pytest.mark.parametrize(
    ('command', 'who'), [('stop', 'controller or gate'), ('break', 'simulator')]
)
def test_where_nobody_runs_it_is_said_where_it_was_looked(command, who, monkeypatch, capsys):
    monkeypatch.setattr(asking, 'LOOK_S', 0.2)
    monkeypatch.setenv('ROS_DOMAIN_ID', '93')
    assert main([command]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f'mbmrl: no {who} was found') and 'ROS_DOMAIN_ID 93' in said
