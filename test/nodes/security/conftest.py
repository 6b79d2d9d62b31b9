# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of running nodes once for all tests here: to start them takes a while."""

import pytest
import topic_notes


@pytest.fixture(scope='session')
def observation(tmp_path_factory):
    """What all nodes have while they run, each of which has been started for it."""
    return topic_notes.observe(tmp_path_factory.mktemp('observation'))
