# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The controller's topics and services.

Subscribes to the sensor topics of the robot file and to e_stop (true latches; it is released by
~/release only). Publishes the command topic of the robot file (with `gate`: wanted_commands; with
`shadow` it subscribes to that one, and publishes ~/shadow_commands), ~/stats (one row per tick),
~/stats/<name> (see named_stats.py) and /diagnostics (see report.py), and what RViz shows (see
visuals.py). Where the reward has a path: see reference_path.py.
Services (all Trigger): ~/reset, ~/e_stop, ~/release, ~/reload.
"""

from __future__ import annotations

import functools
import math
import time
from contextlib import ExitStack
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from std_srvs.srv import Trigger

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.inputs import (
    RELIABLE_SENSORS,
    SENSORS,
    WANTED_COMMANDS,
    Sensors,
    offer_e_stop,
)
from mbmrl_ros.nodes.common.limits import state_bounds
from mbmrl_ros.nodes.common.messages import MESSAGES, command_message, to_nanoseconds
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.senders import CommandTopic
from mbmrl_ros.nodes.common.settings import ControllerSettings
from mbmrl_ros.nodes.controller.assembly import (
    Brain,
    MakeBrain,
    build_brain,
    build_budget,
    build_controller,
    build_monitor,
    build_planner,
    warm_up,
)
from mbmrl_ros.nodes.controller.control_loop import ControlLoop, LoopSettings, Outputs
from mbmrl_ros.nodes.controller.named_stats import StatsTopics
from mbmrl_ros.nodes.controller.period_timer import PeriodTimer
from mbmrl_ros.nodes.controller.policy_brain import check_run_time
from mbmrl_ros.nodes.controller.reference_path import ReferencePath
from mbmrl_ros.nodes.controller.report import ControllerReport
from mbmrl_ros.nodes.controller.visuals import Visuals
from mbmrl_ros.rewards.path import read_route
from mbmrl_ros.robot.bounds import Bounds
from mbmrl_ros.robot.command import Command
from mbmrl_ros.robot.message_fields import check_lockstep
from mbmrl_ros.robot.pacing import Pacing, SendTimeController
from mbmrl_ros.robot.phase import SensorPhaseLock
from mbmrl_ros.robot.policy_driver import PolicyDriver
from mbmrl_ros.robot.random_policy import Collector
from mbmrl_ros.robot.readings import Read, read_command, sensor_reader
from mbmrl_ros.robot.tick import Tick
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Planner

REPORT_S = 1.0
# Rows that a recorder gets that is connected late (transient local).
KEPT = 1000
ACKNOWLEDGE_S = 0.2
SHADOW_COMMANDS = '~/shadow_commands'


class ControllerTopics:
    """Everything of the controller that exists from configure to cleanup.

    Threads: all of it in the executor's, unless a method says otherwise. The worker's and the
    reporter's get their jobs by `loop.submit` and `loop.reporter.submit`.
    """

    def __init__(
        self, node: Node, settings: ControllerSettings, make_brain: MakeBrain = build_brain
    ) -> None:
        """Load robot and bundle, warm up; UserError if anything is wrong."""
        self._node, self._settings, self._make_brain = node, settings, make_brain
        self._spec = spec = load_robot(settings.robot)
        if settings.lockstep:
            check_lockstep(spec)
        self._brain = make_brain(spec, settings, read_route(settings.path))
        if self._brain.notice:
            node.get_logger().warning(self._brain.notice)
        self.controller = build_controller(spec, self._brain, settings)
        self.controller.use_bounds(self._bounds(self._brain))
        self._phase = SensorPhaseLock(spec.period_s) if self._follows_sensors else None
        self.loop = self._make_loop()
        readers = {topic: sensor_reader(spec, topic) for topic in spec.topics}
        self._warm_up()
        self._resources = NodeResources(node)
        self._create_commands()
        self._create_reports()
        self._subscribe(readers)
        self._create_services()

    def start(self) -> None:
        """Send commands from now on; UserError if somebody else commands the robot."""
        if self._alone:
            self._topic.check()
        self.loop.activate()

    def stop(self) -> None:
        """Send the fallback, and wait a moment until it has arrived."""
        self.loop.deactivate('the controller was stopped')
        self._commands.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))

    def close(self) -> None:
        """Send the fallback if that has not been done; remove all topics and services."""
        self.stop()
        self.loop.close()
        self._resources.close()

    def check(self, settings: ControllerSettings) -> None:
        """Raise UserError if changed parameters cannot be used."""
        if isinstance(self._brain.source, PolicyDriver):
            check_run_time(settings)
        self._planner(self._brain, settings)
        self._path.reward(read_route(settings.path))

    def use(self, settings: ControllerSettings) -> None:
        """Apply changed parameters between two ticks; the warm start stays."""
        before, self._settings = self._settings, settings
        if (settings.planner, settings.budget) != (before.planner, before.budget):
            planner = self._planner(self._brain, settings)
            self.loop.submit(functools.partial(self._use_planner, planner))
        if settings.path != before.path:
            self._path.follow(read_route(settings.path))

    @property
    def _follows_sensors(self) -> bool:
        settings = self._settings
        simulated = self._node.get_parameter('use_sim_time').value
        return settings.follow_sensors and not settings.lockstep and not simulated

    def _make_loop(self) -> ControlLoop:
        spec, settings = self._spec, self._settings
        watchdog_s = min(topic.timeout_s for topic in spec.topics.values())
        if settings.lockstep:
            watchdog_s = settings.lockstep_timeout_s
        even = settings.even_commands and not settings.lockstep
        send_time = SendTimeController(spec.period_s) if even else None
        return ControlLoop(
            self.controller,
            LoopSettings(settings.lockstep, watchdog_s, settings.threads),
            Outputs(self._publish_command, self._on_tick, self._on_error),
            Pacing(spec.period_s, send_time, self._phase),
        )

    def _bounds(self, brain: Brain) -> Bounds:
        bounds = self._settings.bounds
        warn = self._node.get_logger().warning
        return state_bounds(self._spec, bounds.joint_margin, bounds.deviations, brain.bundle, warn)

    def _planner(self, brain: Brain, settings: ControllerSettings) -> Planner | None:
        if brain.bundle is None:
            return None
        return build_planner(self._spec, brain.bundle, settings.planner)

    def _use_planner(self, planner: Planner | None) -> None:
        """Exchange planner and budget, in the worker's thread."""
        if planner is None:
            return
        now = self.controller.candidates
        budget = build_budget(self._spec, self._settings, planner.config.candidates, now)
        self.controller.use_planner(planner, budget)

    def _warm_up(self) -> None:
        """Start the worker; its first ticks, which are slow, are on zeros."""
        planner = self._planner(self._brain, self._settings)
        self.loop.open()
        try:
            self.loop.wait(functools.partial(self._use_planner, planner))
            self.loop.wait(functools.partial(warm_up, self._spec, self._brain, self.controller))
        except Exception:
            self.loop.close()
            raise

    def _create_commands(self) -> None:
        """Publish commands; in shadow mode, on a topic of their own, and listen to the others."""
        spec, resources = self._spec, self._resources
        command = MESSAGES[spec.action.type]
        topic = WANTED_COMMANDS if self._settings.gate else spec.action.topic
        if self._settings.shadow:
            resources.subscription(command, topic, self._on_command_of_others, SENSORS)
            topic = SHADOW_COMMANDS
        self._topic = CommandTopic(
            resources, command, topic, spec.action.timeout_s, self._on_other_commands
        )
        self._commands = self._topic.publisher

    def _create_reports(self) -> None:
        spec, resources, settings = self._spec, self._resources, self._settings
        self._sensors = Sensors(self._node, spec, self.loop.put, not settings.lockstep)
        self._stats = StatsTopics(resources, KEPT)
        self._path = ReferencePath(resources, self.loop, self._brain, read_route(settings.path))
        self._report = ControllerReport(
            resources, self._topic, self.loop, self._path, self._sensors
        )
        later = self.loop.reporter.submit
        self._visuals = Visuals(resources, spec, settings.publish_tf, later)

    def _subscribe(self, readers: dict[str, Read]) -> None:
        """Listen to sensors and the emergency stop, and begin control periods."""
        resources, lockstep = self._resources, self._settings.lockstep
        # In lockstep a lost reading would cost a while.
        self._sensors.subscribe(resources, readers, RELIABLE_SENSORS if lockstep else SENSORS)
        offer_e_stop(resources, self.loop.e_stop, self._release)
        report = functools.partial(self.loop.reporter.submit, self._report.publish)
        resources.timer(REPORT_S, report)
        if not lockstep:
            PeriodTimer(resources, self._spec.period_s, self.loop.wake, self._phase)

    def _create_services(self) -> None:
        resources = self._resources
        resources.service(Trigger, '~/reset', self._on_reset)
        resources.service(Trigger, '~/reload', self._on_reload)

    def _on_command_of_others(self, message: Any) -> None:
        values = read_command(self._spec, message)
        if isinstance(values, str):
            self.controller.counters.refused[values] += 1
            return
        heard = functools.partial(self.controller.on_external_command, time.monotonic(), values)
        self.loop.submit(heard)

    def _on_other_commands(self, reason: str) -> None:
        """Send the fallback while somebody else commands the robot."""
        if self._alone:
            self.controller.barred = reason

    @property
    def _alone(self) -> bool:
        """Whether the robot takes all commands that come: no gate and no lockstep chooses some."""
        return not (self._settings.gate or self._settings.lockstep)

    def _publish_command(self, command: Command) -> None:
        """Publish, in whatever thread `Outputs.publish` says."""
        stamp_s = command.stamp_s
        nanoseconds = (
            to_nanoseconds(stamp_s)
            if math.isfinite(stamp_s)
            else self._node.get_clock().now().nanoseconds
        )
        label = self._settings.lockstep
        self._commands.publish(command_message(self._spec, command.values, nanoseconds, label))

    def _on_tick(self, tick: Tick) -> None:
        """Report a tick, in the reporter's thread; a report that fails leaves the others alone."""
        with ExitStack() as reports:
            reports.callback(self._show, tick)
            reports.callback(self._stats.publish, tick)
            reports.callback(self._report.add, tick)

    def _show(self, tick: Tick) -> None:
        self._visuals.show(tick, self.controller.counters.beginnings)

    def _on_error(self, trace: str) -> None:
        self._node.get_logger().error(trace)

    def _on_reset(self, request: Any, response: Any) -> Any:
        self.loop.reset()
        self.loop.submit(self._restart_random_stream)
        response.success, response.message = True, 'history and warm start start afresh'
        return response

    def _restart_random_stream(self) -> None:
        """Draw the same random numbers again, in the worker's thread."""
        self._brain.generator.manual_seed(self._settings.seed)

    def _release(self) -> str | None:
        stopped = self.controller.stopped
        self.loop.release()
        return None if stopped else 'no emergency stop is latched'

    def _on_reload(self, request: Any, response: Any) -> Any:
        """Load the bundle of the parameters; where it does not fit, the old one drives on.

        Meanwhile the worker goes on, and readings wait in their queues.
        """
        try:
            brain = self._make_brain(self._spec, self._settings, self._path.route)
        except UserError as error:
            random = isinstance(self._brain.source, Collector)
            source = 'random policy' if random else 'old bundle'
            response.success, response.message = False, f'{error}; the {source} drives on'
            return response
        self.loop.submit(functools.partial(self._exchange, brain, self._bounds(brain)))
        self._path.go_on(brain)
        response.success, response.message = True, f'driving with {brain.name}'
        return response

    def _exchange(self, brain: Brain, bounds: Bounds) -> None:
        """Drive with another bundle, in the worker's thread."""
        self.controller.use_bounds(bounds)
        self.controller.switch_to(brain.source, build_monitor(brain, self._settings))
        self._brain = brain
        self._use_planner(self._planner(brain, self._settings))
