# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What topics, services and keys of /diagnostics are for: docs/reference/topics.md says it.

Names, types and quality of service are asked of the nodes (reference_topics.py). A topic or
service without a meaning here fails the test, and so does a meaning that no node has.
"""

from __future__ import annotations

SENSORS, COMMANDS = 'sensor topics', 'command topic'
_LEARNING = {
    'hears learning/episodes': 'episodes as they come',
    'offers ~/pause': 'wait, between two steps of learning',
    'offers ~/resume': 'go on',
    'offers ~/checkpoint': 'write all to the folder now',
}
_DRIVING = {
    f'publishes {COMMANDS}': 'what the actuators are to do; without `gate`',
    f'hears {COMMANDS}': 'what others send there, only if somebody does',
    'publishes wanted_commands': 'with `gate`: the commands, for command_gate',
    'hears wanted_commands': 'with `gate`: what others send there, only if somebody does',
    'publishes ~/stats': 'a row of numbers for each control step',
    'publishes ~/stats/<name>': 'each of these numbers, while somebody listens',
    'publishes ~/optimal_path': 'the plan, for RViz, while somebody looks',
    'publishes ~/candidate_trajectories': 'a sample of what the plan was chosen from; field '
    '`return` to colour by',
    'publishes ~/executed_track': 'where the robot has been',
    'offers ~/reset': 'forget what was before, as when the robot was put somewhere else',
    'offers ~/reload': 'read bundle, task and mode anew, without a restart',
}
# For every node that has it and says nothing else below.
COMMON = {
    'publishes /diagnostics': 'how the node is, once a second',
    'hears e_stop': 'true latches the emergency stop; false does nothing',
    'offers ~/e_stop': 'latch the emergency stop',
    'offers ~/release': 'unlatch the emergency stop; answers why, where it stays',
    f'hears {SENSORS}': 'readings of the robot',
    'hears /clock': 'with `use_sim_time`: the time of a simulator or a bag',
}
NODES: dict[str, dict[str, str]] = {
    'controller_node': _DRIVING | {
        f'publishes {COMMANDS}': 'what the actuators are to do; without `gate` and `shadow`',
        f'hears {COMMANDS}': 'what others send there, only if somebody does; with `shadow` (depth '
        '50) what the robot is told by whoever drives',
        'publishes ~/shadow_commands': 'with `shadow`: what would have been sent',
        'publishes ~/followed_path': 'the path that counts; of tasks with a path',
        'hears reference_path': 'a path to follow in place of the one of the task or of `path`; '
        'of tasks with a path',
        'publishes /tf': 'where the body is, for RViz; if tf2_msgs is installed',
    },
    'command_gate': {
        'hears wanted_commands': 'commands of the controller',
        f'publishes {COMMANDS}': 'commands that passed, or the fallback; to the motors',
        f'hears {COMMANDS}': 'what others send there past the gate, only if somebody does',
        'hears deadman': 'the switch to be held; `deadman_topic` names it (empty: none), '
        '`deadman_button` makes it a sensor_msgs/msg/Joy',
        'hears battery': 'the voltage; `safety.battery.topic` of the robot file names it',
    },
    'sim_node': {
        f'publishes {SENSORS}': 'readings of the simulated robot',
        f'hears {COMMANDS}': 'commands to its actuators',
        'publishes /clock': 'simulated time; not with `wall_time`',
        'publishes ~/applied_command': 'what the actuators really got; `frame_id` has the reason '
        'where that is the fallback',
        'hears ~/disturbance': '`kind:target`, `kind:target:value`, or `none`',
        'offers ~/<kind>/<target>': 'a [disturbance](disturbances.md) on or off',
        'offers ~/reset': 'put the robot at a new start',
        'offers ~/pause': 'stand still (true), go on (false)',
    },
    'recorder_node': {
        f'hears {SENSORS}': 'recorded; with the quality of service of whoever publishes',
        f'hears {COMMANDS}': 'recorded, in the same way',
        'hears e_stop': 'recorded, in the same way; as are the topics of `also`',
    },
    'player_node': {
        f'publishes {SENSORS}': 'readings of the bag, byte for byte',
        f'publishes {COMMANDS}': 'commands of the bag; with `commands`',
        'publishes /clock': 'the time of the recording; not with `restamp`',
    },
    'trainer_node': {
        'publishes ~/progress': 'after each iteration: `iteration`, `iterations`, '
        "`environment_steps`, `return`, `seconds`, the algorithm's metrics; labels name them",
        'offers ~/pause': 'wait when the present iteration is done',
        'offers ~/resume': 'go on',
        'offers ~/stop': 'end when the present iteration is done',
    },
    'collector_node': _DRIVING | {
        'publishes learning/episodes': 'each episode, and the newest for whoever comes '
        'late; how many depends on the algorithm',
        'hears learning/policy': 'the newest policy; not of algorithms that plan in their model',
        'hears learning/model': 'the newest model, to plan in; of algorithms that do '
        '(`grbal`, `mb`)',
        'calls sim_node/reset': 'puts the robot back after an episode; `reset` names it',
        'offers ~/pause': 'wait when the present episode is done',
        'offers ~/resume': 'go on',
    },
    'model_learner_node': _LEARNING | {'publishes learning/model': 'the newest model'},
    'policy_learner_node': _LEARNING | {
        'publishes learning/policy': 'the newest policy',
        'hears learning/model': 'the newest model, to learn in',
    },
}  # fmt: skip
# What a test cannot have: of a package that is not installed by pip, or of no shipped robot.
UNSEEN = {
    ('controller_node', 'publishes /tf'): ('tf2_msgs/msg/TFMessage', 'reliable, volatile, 10'),
    ('command_gate', 'hears battery'): (
        'sensor_msgs/msg/BatteryState', 'best effort, volatile, 50',
    ),
}  # fmt: skip
STATS = {
    'stamp': 'of the state that the command answers [s]',
    'tick_s': 'the whole step: state, adapting, planning, safety [s]',
    'adapt_s': 'of it, adapting [s]',
    'plan_s': 'of it, planning [s]',
    'loss_before': 'error of the model on the window of the last transitions, before adapting; '
    'nan without one',
    'loss_after': 'and after',
    'adapted': '1 where adapting changed the model',
    'refused': '1 where what adapting found was refused',
    'nonfinite': 'candidates whose prediction was not finite',
    'expected_return': 'of the plan, by the model',
    'fallback': '1 where the command is the fallback',
    'candidates': 'plans that were compared',
    'latency_s': 'from the state to the effect of the command, as predicted [s]',
    'period_error_s': 'by how much the time since the last command differs from whole periods [s]',
    'prediction_loss': 'with `shadow`: error of the prediction of this step',
    'no_change_loss': 'with `shadow`: error of predicting no change',
}
_SENDERS = {
    'second sender: <topic>': 'messages of a second publisher, which do not count',
    'notice <number>': 'what should not be as it is: two senders, other clocks, joints that '
    'never moved',
}
_BOX = {
    '<kind>.version': 'of the newest `episode`, `model` or `policy` that came',
    '<kind>.age_s': 'since it came [s]',
    '<kind>.bytes': 'received',
    '<kind> refused: <reason>': 'messages that were not taken',
}
_LEARNER = _BOX | {
    'folder': 'where it is written',
    'version': 'of the newest that was sent',
    'sent': 'messages',
    'sent.bytes': 'in all',
    'warning': 'empty if there is none',
}
# By the status's name, which is `<node>: <this>`.
DIAGNOSTICS: dict[str, dict[str, str]] = {
    'control': {
        'active': 'whether the node is',
        'reason': 'why the last command is not what was planned; empty if it is',
        'e_stop': 'why it is latched; empty if it is not',
        'path': 'what is followed; of tasks with a path',
        'listeners': 'subscribers of the commands',
        'ticks': 'control steps since the start',
        'commands': 'that went out, by control steps and without',
        'fallbacks': 'of them, the fallback',
        'late_ticks': 'past the deadline',
        'plans_cut': 'whose time was up before their last step',
        'periods_missed': 'in which no control step began',
        'reports_failed': 'rows of ~/stats and pictures that could not be made',
        'reports_dropped': 'for which there was no time',
        'adaptations': 'that changed the model',
        'adaptations_refused': 'that were refused',
        'tick_ms.<last, median, max>': 'of the last second',
        'adapt_ms.<last, median, max>': 'of it, adapting',
        'plan_ms.<last, median, max>': 'of it, planning',
        'candidates': 'as in ~/stats, of the last step',
        'latency_ms': 'as in ~/stats',
        'period_share.goal': 'which share of the period plans are to take; nan: no budget',
        'period_share.median': 'which share control steps took',
        'period_error_ms.<median, max>': 'as in ~/stats, without its sign',
        'sensors_late_ms.<median, max>': 'after the begin of the period until all readings had '
        'come; negative: before',
        'loss_before': 'as in ~/stats',
        'loss_after': 'as in ~/stats',
        'nonfinite_rollouts': 'as `nonfinite` in ~/stats',
        'expected_return': 'as in ~/stats',
        'received: <topic>': 'messages',
        'lost: <topic>': 'messages that did not come, where that can be told',
        'lost': 'of all topics',
        'refused': 'readings that were not used',
        'refused_readings: <reason>': 'of them, the ten most frequent reasons',
    } | _SENDERS,
    'gate': {
        'active': 'whether the node is',
        'fault': 'kind of the fault, where the fallback is sent',
        'reason': 'why the last command was changed; empty if it was not',
        'last_fault': 'why the fallback was sent the last time',
        'stopped': 'why the emergency stop is latched; empty if it is not',
        'listeners': 'subscribers of the command topic',
        'commands: <kind>': 'that went out: `unchanged`, `limited`, or by fault',
        'refused: <reason>': 'messages that were not used',
    } | _SENDERS,
    'simulation': {
        'mode': '`lockstep`, `real time`, ..., `inactive`',
        'real_time_factor': 'simulated seconds per second',
        'step': 'control steps since the start or reset',
        'disturbances': 'which are on; `none`',
        'command_age_s': 'of the last command; nan before the first',
        'fallback': 'whether the actuators have the fallback',
        'reason': 'why',
        'clamped_commands': 'that were beyond the limits',
        'physics_healthy': 'false: the simulation diverged',
        'refused_commands: <reason>': 'that were not used',
    } | _SENDERS,
    'recorder': {
        'folder': 'of the bag',
        'bytes': 'written',
        'messages: <topic>': 'written',
    },
    'training': {
        'state': '`training`, `paused`, `finished: ...`, `failed: ...`',
        'folder': 'of the run',
        'algorithm': 'its name',
        'task': 'its name',
        '<label of ~/progress>': 'after the first iteration',
    },
    'collection': _BOX | {
        'folder': 'where episodes are written',
        'pieces': 'written',
        'environment_steps': 'of control, in all',
        'robot_time_share': 'of the time since the start, which share is in episodes',
        '<kind>.driving': 'version that drives',
        '<kind>.first_action_s': 'from its sending to its first action [s]',
        'last.<number>': 'of the last episode: `steps`, return, `wall_s` of all and the like',
    },
    'model learning': _LEARNER | {'<metric>': 'of the last fit'},
    'policy learning': _LEARNER | {'<metric>': 'of the last improvement'},
}  # fmt: skip
