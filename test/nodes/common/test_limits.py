# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where the limits of joints come from, and what is said where they do not."""

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.limits import joint_limits, state_bounds
from mbmrl_ros.sim import joint_limits as of_model
from mbmrl_ros.spec.robot import load_robot

CHEETAH, ARM = load_robot('half_cheetah'), load_robot('pr2_left_arm')


def test_a_model_that_is_there_gives_limits_and_nothing_is_said():
    said = []
    limits = joint_limits(CHEETAH, said.append)
    # gymnasium/half_cheetah.xml: <joint name="bthigh" range="-.52 1.05">, in radians.
    assert limits['bthigh'] == (-0.52, 1.05) and not said


def test_a_model_that_cannot_be_read_is_named_and_the_robot_is_driven_all_the_same(monkeypatch):
    def fail(spec):
        raise UserError('MuJoCo cannot load the model')

    monkeypatch.setattr(of_model, 'joint_limits', fail)
    said = []
    bounds = state_bounds(CHEETAH, 0.5, warn=said.append)
    assert not bounds.intervals
    assert len(said) == 1 and said[0].endswith('not known: MuJoCo cannot load the model')


def test_limits_of_a_urdf_stand_in_and_one_that_is_no_number_is_none(monkeypatch, tmp_path):
    urdf = tmp_path / 'arm.urdf'
    urdf.write_text(
        '<robot name="arm">'
        '<joint name="good" type="revolute"><limit lower="-1" upper="2"/></joint>'
        '<joint name="bad" type="revolute"><limit lower="-one" upper="2"/></joint>'
        '</robot>'
    )
    kinematics = ARM.kinematics.model_copy(update={'urdf': str(urdf)})
    spec = ARM.model_copy(update={'simulation': None, 'kinematics': kinematics})
    said = []
    assert joint_limits(spec, said.append) == {'good': (-1.0, 2.0)} and not said
