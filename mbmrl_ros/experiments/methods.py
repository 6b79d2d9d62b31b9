# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All models of the experiments, by what they are trained, and how methods adapt them.

Every model-based method has the network, the planner and the data of the MB that it goes on from;
ReBAL has the planner and the data, the oracle more of them.
"""

from __future__ import annotations

from mbmrl_ros.experiments.grid import Method, Model, Recipe

OWN = (Recipe('two_cores'), Recipe())
ON_TOP = tuple(Recipe(one.variant, start_from='mb', with_data=False) for one in OWN)
ON_ANEW = tuple(Recipe(name, start_from='mb_anew') for name in ('from_anew', 'from_mb'))
MODELS = {
    # Collects the first data. Its fits go on from one another at a constant learning rate.
    'mb': Model('mb', OWN),
    'mb_anew': Model('mb', (Recipe('anew', start_from='mb'),)),
    # MB that goes on to three times the data, every fit anew; and what is fitted to all of them.
    'mb_more': Model('mb', (Recipe('further', start_from='mb', goes_on=True),)),
    'grbal_more': Model('grbal', (Recipe('from_further', start_from='mb_more'),)),
    'rebal_more': Model('rebal', (Recipe('from_further', start_from='mb_more'),)),
    # MB that collects with plans twice as long, and what goes on from there.
    'mb_far': Model('mb', (Recipe('far'),)),
    'grbal_far': Model('grbal', (Recipe('from_far', start_from='mb_far'),)),
    'rebal_far': Model('rebal', (Recipe('from_far', start_from='mb_far'),)),
    'mb_oracle_far': Model(
        'mb', (Recipe('far_oracle', start_from='mb_far', with_data=False),), on_test=True
    ),
    # Fitted to the first data, from MB's weights then or from those fitted anew; alone: on data
    # that the model itself collects, from the start.
    'grbal': Model('grbal', (Recipe('from_mb', start_from='mb'), *OWN)),
    'grbal_anew': Model('grbal', (*ON_ANEW, *OWN)),
    'grbal_alone': Model('grbal', OWN),
    'rebal': Model('rebal', (Recipe('from_mb', start_from='mb'), *OWN)),
    'rebal_alone': Model('rebal', OWN),
    # Nothing but the test from there on: from MB with the first data, and with all.
    'mb_oracle': Model('mb', ON_TOP, on_test=True, times=0.5),
    'mb_oracle_more': Model(
        'mb', (Recipe('oracle', start_from='mb_more', with_data=False),), on_test=True
    ),
    # The rollouts of MB's training file, as long, and as many as the first data or as all.
    'trpo': Model('trpo', OWN),
    'trpo_more': Model('trpo', OWN, times=3),
    # The steps of all data, in the six updates that the thesis (Table 6) makes of as many.
    'trpo_thesis': Model('trpo_thesis', (Recipe('trpo_thesis'),)),
    # What plans with the simulator has MB's planner, and no training.
    'true_physics': Model('true_physics', OWN),
}
# As many evaluations per tick as 128 x 20, and the best of the sweep on the half-cheetah.
LONG = {'candidates': 64, 'horizon': 40, 'temperature': 0.3, 'noise': 0.7, 'smoothing': 0.5}
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
