# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes, a folder for each process: its topics, its thread, what it is made of."""

EXECUTABLES = {
    'sim_node': 'mbmrl_ros.nodes.simulator.sim_node',
    'controller_node': 'mbmrl_ros.nodes.controller.controller_node',
    'command_gate': 'mbmrl_ros.nodes.gate.gate_node',
    'recorder_node': 'mbmrl_ros.nodes.recording.recorder_node',
    'player_node': 'mbmrl_ros.nodes.recording.player_node',
    'trainer_node': 'mbmrl_ros.nodes.learners.trainer_node',
    'collector_node': 'mbmrl_ros.nodes.learners.collector_node',
    'model_learner_node': 'mbmrl_ros.nodes.learners.model_learner_node',
    'policy_learner_node': 'mbmrl_ros.nodes.learners.policy_learner_node',
}
