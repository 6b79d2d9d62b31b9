# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All methods of the experiments: how a model adapts, and how it is shown."""

from __future__ import annotations

from mbmrl_ros.experiments.grid import Method
from mbmrl_ros.experiments.models import SWEPT

# As many evaluations per tick as 128 x 20.
LONG = {'candidates': 64, 'horizon': 40, **SWEPT}
METHODS = {
    'mb': Method('MB', 'mb_more', 'none', '#8c6d31'),
    'mb_de': Method('MB+DE', 'mb_more', 'dynamic_evaluation', '#7b7b7b'),
    'grbal': Method('GrBAL', 'grbal_more', 'auto', '#1f6fb2'),
    'grbal_still': Method('GrBAL (not adapting)', 'grbal_more', 'none', '#8fb8dc'),
    'rebal': Method('ReBAL', 'rebal_more', 'auto', '#c25a00'),
    'mb_far': Method('MB (plans of 0.4 s)', 'mb_far', 'none', '#5c4516', LONG),
    'mb_de_far': Method('MB+DE (plans of 0.4 s)', 'mb_far', 'dynamic_evaluation', '#4f4f4f', LONG),
    'grbal_far': Method('GrBAL (plans of 0.4 s)', 'grbal_far', 'auto', '#0c3f6b', LONG),
    'rebal_far': Method('ReBAL (plans of 0.4 s)', 'rebal_far', 'auto', '#7a3800', LONG),
    'mb_oracle_far': Method(
        'MB oracle (plans of 0.4 s)', 'mb_oracle_far', 'none', '#14471a', LONG
    ),
    'mb_first': Method('MB (first data)', 'mb_anew', 'none', '#d3bd8c'),
    'mb_de_first': Method('MB+DE (first data)', 'mb_anew', 'dynamic_evaluation', '#c4c4c4'),
    'grbal_first': Method('GrBAL (first data)', 'grbal_anew', 'auto', '#9cc4e4'),
    'rebal_first': Method('ReBAL (first data)', 'rebal', 'auto', '#f0b98a'),
    'mb_going_on': Method('MB (fits that go on)', 'mb', 'none', '#e3d9c0'),
    'mb_de_going_on': Method('MB+DE (fits that go on)', 'mb', 'dynamic_evaluation', '#e0e0e0'),
    'grbal_going_on': Method('GrBAL (fits that go on)', 'grbal', 'auto', '#cfe2f2'),
    'grbal_alone': Method('GrBAL (own data)', 'grbal_alone', 'auto', '#17becf'),
    'rebal_alone': Method('ReBAL (own data)', 'rebal_alone', 'auto', '#f2d16b'),
    'mb_oracle': Method('MB oracle', 'mb_oracle_more', 'none', '#2e7d32'),
    'mb_oracle_first': Method('MB oracle (first data)', 'mb_oracle', 'none', '#9cc79e'),
    'trpo': Method('TRPO', 'trpo_more', 'none', '#7b3fa0'),
    'trpo_first': Method('TRPO (first data)', 'trpo', 'none', '#c3a3d6'),
    'trpo_thesis': Method('TRPO (numbers of the thesis)', 'trpo_thesis', 'none', '#d9c2e8'),
    'true_physics': Method('true physics', 'true_physics', 'none', '#222222'),
}
