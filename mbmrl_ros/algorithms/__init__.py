# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The algorithms, by name."""

from typing import Any

from mbmrl_ros.algorithms import (
    bptt,
    grbal,
    maac,
    maml,
    mb,
    mb_mpo,
    me_ppo,
    me_trpo,
    model_free,
    promp,
    rebal,
    rl2,
)
from mbmrl_ros.training.dynamics.fit_model import ModelLearner

MODEL_BASED = (grbal.GRBAL, mb.MB, rebal.REBAL)
META_POLICY_SEARCH = (promp.PROMP, *maml.MAML.values(), rl2.RL2)
MODEL_BASED_SEARCH = (bptt.BPTT, maac.MAAC, mb_mpo.MB_MPO, me_ppo.ME_PPO, me_trpo.ME_TRPO)
MODEL_FREE = model_free.MODEL_FREE
ALGORITHMS = {
    each.name: each
    for each in (*MODEL_BASED, *META_POLICY_SEARCH, *MODEL_BASED_SEARCH, *MODEL_FREE)
}

LEARNERS: dict[str, ModelLearner[Any]] = {
    learner.name: learner for learner in (grbal.LEARNER, mb.LEARNER, rebal.LEARNER)
}
"""Those that fit a model and plan with it: what they bring to training/dynamics/model_based.py."""

INNER_STEPS = {'promp': promp.INNER} | {name: row.inner for name, row in maml.ROWS.items()}
"""Of those whose policies adapt by policy gradients: by which."""

SEARCH_STAGES = {
    module.__name__.rpartition('.')[2]: module.STAGES
    for module in (bptt, maac, mb_mpo, me_ppo, me_trpo)
}
"""Of those that search a policy in models: their stages."""
