# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node as its worker sees it, without a process."""

from mbmrl_ros.nodes.learners.link import Stopped


class Link:
    """What a node sends, in turn, and what it gets back; ends the work after some steps."""

    save_wanted = False

    def __init__(self, inbox, steps):
        self._inbox, self._steps = list(inbox), steps
        self.said, self.waited = [], 0

    def say(self, name, value):
        self.said.append((name, value))

    def take(self):
        return self._inbox.pop(0) if self._inbox else {}

    def check(self):
        self._steps -= 1
        if self._steps < 0:
            raise Stopped

    def wait(self):
        self.waited += 1

    def all(self, name):
        return [value for said, value in self.said if said == name]
