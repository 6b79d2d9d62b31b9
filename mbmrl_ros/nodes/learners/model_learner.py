# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The work of model_learner_node: fit the models to what has come, an epoch at a time.

An epoch after which no model predicts its validation part better leaves the models as they were;
after `patience` of them in a row there is nothing to learn until the next episode.
"""

from __future__ import annotations

import time
from typing import Any

from mbmrl_ros.nodes.learners.learning import Learning, prepare
from mbmrl_ros.nodes.learners.link import Link
from mbmrl_ros.nodes.learners.parts import MODEL, keep, kept, opened, take


def learn_model(link: Link, request: dict[str, Any]) -> None:
    """Fit until the node ends it, beginning with the last checkpoint."""
    settings, part = prepare(request)
    metrics, waited = dict[str, float](), 0
    with opened(part, MODEL) as (run, start):
        done, tensors = run.load_checkpoint()
        data = kept(run)
        models: Any = part.begin_models(tensors)
        learning = Learning(link, part, MODEL, start, done)
        if done:
            learning.publish(models.tensors())
        saved_s = time.monotonic()
        while True:
            link.check()
            _, came = take(link, data)
            waited = 0 if came else waited
            if part.keeps_data:
                keep(run, data, came)
            due = time.monotonic() - saved_s > settings.checkpoint_s
            if due or link.save_wanted:
                saved_s, link.save_wanted = time.monotonic(), False
                if metrics:
                    run.log(learning.count, metrics)
                    run.save_checkpoint(learning.count, models.tensors())
                    part.keep_bundle(run.folder / 'bundle', models, metrics)
            if waited >= part.config.patience or not part.enough(data):
                link.say('progress', {'state': 'waiting for episodes'})
                link.wait()
                continue
            began_s = time.monotonic()
            link.say('progress', {'state': 'learning'})
            models, fitted = part.fit_models(models, data, learning.count + 1)
            if metrics and len(data) not in came:
                # What it was before the newest episode was learned from, not what it became.
                fitted['error_on_new_data'] = metrics['error_on_new_data']
            metrics = fitted
            better = metrics['validation_error'] < metrics['validation_before']
            waited = 0 if better else waited + 1
            metrics['epoch_s'] = time.monotonic() - began_s
            learning.publish(models.tensors(), metrics)
