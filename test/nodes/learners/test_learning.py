# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Collecting, fitting and improving beside each other, over real topics."""

import pytest

from mbmrl_ros.nodes.learners import (
    collector_node,
    model_learner_node,
    policy_learner_node,
)

ROBOT, TASK = 'half_cheetah_20hz', 'half_cheetah/thesis'
HORIZON = 20
SMALL = {
    'horizon': HORIZON, 'members': 2, 'model_hidden_sizes': [16], 'batch_size': 32,
    'hidden_sizes': [8], 'buffer_size': 100,
}  # fmt: skip
OWN = {
    'mb_mpo': {'tasks': 2, 'rollouts': 2, 'meta_steps': 1, 'curvature_every': 5},
    'me_trpo': {'imagined_rollouts': 4, 'imagined_horizon': 10, 'validation_rollouts': 2},
}
NODES = {
    'collector': collector_node, 'model': model_learner_node, 'policy': policy_learner_node,
}  # fmt: skip


def parameters(algorithm, out, **changes):
    values = SMALL | OWN[algorithm] | changes
    settings = [f'{name}={value}' for name, value in values.items()]
    return {'algorithm': algorithm, 'task': TASK, 'out': str(out), 'settings': settings}


def start(bench, name, algorithm, out, **given):
    return bench._start(NODES[name].make_node, {}, parameters(algorithm, out) | given, '')


@pytest.mark.parametrize('algorithm', OWN)
def test_a_policy_is_learned_while_the_robot_is_driven(bench, tmp_path, algorithm):
    bench.sim(robot=ROBOT, lockstep=True)
    start(bench, 'model', algorithm, tmp_path)
    start(bench, 'policy', algorithm, tmp_path)
    start(bench, 'collector', algorithm, tmp_path, lockstep=True)
    bench.until_status('collection', lambda _, values: int(values['episodes']) >= 2)
    bench.until_status('model learning', lambda _, values: 'validation_error' in values)
    bench.until_status('policy learning', lambda _, values: 'imagined_return' in values)
    bench.until_status('collection', lambda _, values: 'policy.version' in values)
    print(bench._statuses)
