# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every test runs under: a ROS domain of its own on this machine, and few torch threads."""

import os
import socket

import pytest
import torch

DOMAIN_PORT = 22119


def claim_domain() -> tuple[int, socket.socket]:
    """Return a domain (1..100) that no other run on this machine has, and what holds it.

    The port that stands for a domain is the one domain_coordinator of ROS 2 uses.
    """
    for domain in range(1, 101):
        claim = socket.socket()
        try:
            claim.bind(('127.0.0.1', DOMAIN_PORT + domain))
        except OSError:
            claim.close()
        else:
            return domain, claim
    raise RuntimeError('all ROS domains from 1 to 100 are taken on this machine')


# At import, before any test module reads the environment through rclpy or a message class.
DOMAIN, CLAIM = claim_domain()
os.environ['ROS_DOMAIN_ID'] = str(DOMAIN)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_PYTHON_CHECK_FIELDS'] = '1'
os.environ.pop('ROS_STATIC_PEERS', None)
torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope='session', autouse=True)
def ros_log_directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the log files of nodes out of the home directory."""
    os.environ['ROS_LOG_DIR'] = str(tmp_path_factory.mktemp('ros_log'))
