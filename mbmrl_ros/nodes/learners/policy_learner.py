# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The work of policy_learner_node: improve the policy in the newest models, a step at a time."""

from __future__ import annotations

import time
from typing import Any

from mbmrl_ros.bundles.policy import save_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.data.replay import replay
from mbmrl_ros.nodes.learners.learning import Learning, prepare
from mbmrl_ros.nodes.learners.link import Link
from mbmrl_ros.nodes.learners.parts import POLICY, opened, take
from mbmrl_ros.nodes.learners.search_part import SearchPart, models_of
from mbmrl_ros.training.policy_run import check_finite
from mbmrl_ros.training.search.loop import SMALLER_STEPS, search_bundle, search_info
from mbmrl_ros.training.search.stages import Data


def improve_policy(link: Link, request: dict[str, Any]) -> None:
    """Improve until the node ends it, beginning with the last checkpoint."""
    _, part = prepare(request)
    assert isinstance(part, SearchPart)
    search, data, models = part.changed(part.stages.asynchronous), Data(), None
    info = search_info(part.name, part.stages, part.search)
    with opened(part, POLICY) as (run, start):
        done, policy = run.load_checkpoint()
        learning = Learning(link, part, POLICY, start, done)
        if done:
            learning.publish(policy)
        else:
            policy = part.stages.begin(search)
        while True:
            link.check()
            link.save_wanted = False  # every policy is saved before it is sent
            newest, _ = take(link, data)
            models = models if newest is None else models_of(newest)
            if models is None or not part.enough(data):
                link.say('progress', {'state': 'waiting for models and episodes'})
                link.wait()
                continue
            began_s = time.monotonic()
            link.say('progress', {'state': 'learning'})
            models = models._replace(replay=replay(data, search.config.buffer_size))
            count = learning.count + 1
            generator = search.generator(count, 'improve')
            improved, metrics = part.stages.improve(search, policy, models, generator)
            metrics['improve_s'] = time.monotonic() - began_s
            try:
                check_finite(improved, count, SMALLER_STEPS)
            except UserError as error:
                # Of models that nobody can be in for long; the next ones are others.
                link.say('warning', str(error))
                models = None
                continue
            policy = improved
            run.save_checkpoint(count, policy)
            save_policy(run.folder / 'bundle', search_bundle(info, search, policy, metrics, count))
            learning.publish(policy, metrics)
            run.log(count, metrics)
