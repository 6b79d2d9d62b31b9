# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""All studies of policies, of meta policy search and of that in models, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mbmrl_ros.experiments import policy_studies, search_studies
from mbmrl_ros.experiments.double_integrator import SOURCES
from mbmrl_ros.experiments.jobs import Job, Selection
from mbmrl_ros.experiments.policy_studies import study_jobs
from mbmrl_ros.experiments.search_studies import search_jobs
from mbmrl_ros.experiments.toy import ESTIMATORS

JOBS: dict[str, Callable[[str, Selection], Iterator[Job]]] = {
    **dict.fromkeys(policy_studies.STUDIES, study_jobs),
    **dict.fromkeys(search_studies.STUDIES, search_jobs),
}
STUDIES = policy_studies.STUDIES | search_studies.STUDIES
LABELS = {
    name: each.label
    for table in (policy_studies.ARMS, search_studies.ARMS, ESTIMATORS, SOURCES)
    for name, each in table.items()
}
"""Of arms, in the order of tables."""
