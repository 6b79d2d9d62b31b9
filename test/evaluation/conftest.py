# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small bundle of the half-cheetah, which no test changes."""

import pytest
from small_training import small_bundle

from mbmrl_ros.bundles.dynamics import Bundle


@pytest.fixture(scope='session')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """After one iteration of GrBAL: T1 8, T2 6."""
    return small_bundle(tmp_path_factory.mktemp('run'))
