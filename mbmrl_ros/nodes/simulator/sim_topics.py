# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulator's topics and services: those of the robot, and what only a simulator has.

Publishes the sensor topics of the robot file, then /clock; ~/applied_command: what the actuators
really got, stamped with the state it answers, frame_id 'fallback: ...' with the reason where it is
the fallback; /diagnostics. Subscribes to the command topic of the robot file and to
~/disturbance: `kind:target`, `kind:target:value` or `none`. Services: ~/reset, ~/pause (SetBool),
and ~/<kind>/<target> (SetBool) for every disturbance.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from mbmrl_ros.config import UserError
from mbmrl_ros.nodes.common.diagnostics import (
    ERROR,
    OK,
    WARN,
    diagnostic_message,
    reasons,
    with_notices,
)
from mbmrl_ros.nodes.common.messages import (
    MESSAGES,
    named_command,
    sensor_writer,
    to_stamp,
)
from mbmrl_ros.nodes.common.node_resources import NodeResources
from mbmrl_ros.nodes.common.senders import Names, Senders, publishers
from mbmrl_ros.nodes.common.settings import SimSettings
from mbmrl_ros.nodes.simulator.schedules import (
    disturbances_of,
    parse_schedule,
    switches,
    training_draws,
)
from mbmrl_ros.nodes.simulator.simulation import Applied, Simulation
from mbmrl_ros.robot.message_fields import check_lockstep, message_stamp_ns
from mbmrl_ros.robot.readings import read_command
from mbmrl_ros.sim.disturbances import Disturbance, parse
from mbmrl_ros.sim.viewer import Viewer
from mbmrl_ros.spec.robot import load_robot

# /clock at 200 Hz at most: every subscriber pays for it (rclpy handles it in Python).
CLOCK_S = 0.005
# A state without an answer is sent again, for a controller that comes later or missed it.
AGAIN_S = 0.2
DIAGNOSTICS_S = 1.0
# Messages that a recorder gets that is connected late (transient local).
KEPT = 1000


class SimTopics:
    """Everything of the simulator that exists from configure to cleanup."""

    def __init__(self, node: Node, settings: SimSettings) -> None:
        """Load robot, world and schedule; UserError if one of them is wrong."""
        self._node, self._settings = node, settings
        self._spec = spec = load_robot(settings.robot)
        if settings.lockstep:
            check_lockstep(spec)
        disturbances = disturbances_of(spec, settings.task, settings.robot)
        self.check(settings)
        self._draw = training_draws(settings)
        self.simulation = Simulation(
            spec,
            parse_schedule(spec, settings.schedule),
            settings.seed,
            settings.lockstep,
            self._command_timeout_s(settings),
            settings.lockstep_timeout_s,
        )
        self._viewer = Viewer(spec) if settings.viewer else None
        self._active = False
        self._clock_sent_s = self._state_sent_s = 0.0
        self._state_ns = 0
        self._reported_s, self._reported_ns = time.monotonic(), self.simulation.stamp_ns
        self._resources = NodeResources(node)
        self._senders = Senders(node, {spec.action.topic: self._silence_s(settings)})
        self._create_publishers()
        self._create_services(disturbances)

    def start(self) -> None:
        """Let time run."""
        self._active = True
        self.simulation.resume(time.monotonic())
        self._publish_state()

    def stop(self) -> None:
        """Let time stand still."""
        self._active = False

    def close(self) -> None:
        """Remove all topics and services."""
        self.stop()
        self._resources.close()
        if self._viewer is not None:
            self._viewer.close()

    def check(self, settings: SimSettings) -> None:
        """Raise UserError if simulated time is to be the present and cannot keep up with it."""
        if settings.wall_time and (settings.lockstep or settings.speed_factor != 1.0):
            raise UserError('wall_time goes without lockstep, and with speed_factor 1.0')

    def use(self, settings: SimSettings) -> None:
        """Apply changed parameters."""
        if settings.seed != self._settings.seed:
            self.simulation.seed(settings.seed)
        self._timer.timer_period_ns = round(self._step_s(settings) * 1e9)
        self.simulation.command_timeout_s = self._command_timeout_s(settings)
        self._settings = settings

    def _step_s(self, settings: SimSettings) -> float:
        return self.simulation.rates.step_s / settings.speed_factor

    def _command_timeout_s(self, settings: SimSettings) -> float:
        """In slow motion everything takes longer, commands too."""
        return self._spec.action.timeout_s / min(1.0, settings.speed_factor)

    def _silence_s(self, settings: SimSettings) -> float:
        """Return after how long another sender of commands takes over."""
        lockstep = settings.lockstep
        return settings.lockstep_timeout_s if lockstep else self._command_timeout_s(settings)

    def _create_publishers(self) -> None:
        spec, make = self._spec, self._resources.publisher
        # In lockstep no time passes until a recorder is connected, only steps.
        keep = self._settings.lockstep
        depth = KEPT if keep else 10
        self._sensors = [
            (
                self.simulation.rates.every[topic],
                sensor_writer(spec, topic, label=keep),
                make(MESSAGES[settings.type], topic, depth, open_qos=True, keep=keep),
            )
            for topic, settings in spec.topics.items()
        ]
        self._clock = make(ClockMessage, '/clock', 1)
        self._applied = make(JointState, '~/applied_command', KEPT, keep=True)
        self._diagnostics = make(DiagnosticArray, '/diagnostics', 10)

    def _create_services(self, disturbances: tuple[Disturbance, ...]) -> None:
        spec, resources, queue = self._spec, self._resources, QoSProfile(depth=10)
        command = MESSAGES[spec.action.type]
        resources.subscription(command, spec.action.topic, self._on_command, queue, open_qos=True)
        resources.subscription(String, '~/disturbance', self._on_disturbance, queue)
        resources.service(Trigger, '~/reset', self._on_reset)
        resources.service(SetBool, '~/pause', self._on_pause)
        for name, disturbance in switches(disturbances).items():
            resources.service(SetBool, name, functools.partial(self._on_switch, disturbance))
        self._timer = resources.timer(self._step_s(self._settings), self._on_step)
        resources.timer(DIAGNOSTICS_S, self._on_report)

    def _on_command(self, message: Any, info: Any) -> None:
        if not self._active:
            return
        stamp = message_stamp_ns(message)
        # In lockstep a command that does not answer the present state does no harm.
        counts = not self._settings.lockstep or stamp == self.simulation.stamp_ns
        topic = self._spec.action.topic
        if counts and not self._senders.take(topic, info, time.monotonic()):
            return
        command = read_command(self._spec, message)
        if self.simulation.offer(command, stamp, time.monotonic()):
            self._step()

    def _on_step(self) -> None:
        if not self._active:
            return
        now_s = time.monotonic()
        if self.simulation.due(now_s):
            self._step()
        elif self.simulation.waiting and now_s - self._state_sent_s > AGAIN_S:
            self._publish_state()

    def _step(self) -> None:
        answered_ns = self._state_ns
        applied = self.simulation.step(time.monotonic())
        self._publish_state()
        wall_time = self._settings.wall_time
        self._publish_applied(applied, answered_ns if wall_time else applied.stamp_ns)

    def _publish_state(self) -> None:
        """Publish sensors, then the clock: nobody's time is ahead of the state."""
        simulation = self.simulation
        signals, wall_time = simulation.world.signals(), self._settings.wall_time
        now_ns = self._node.get_clock().now().nanoseconds
        self._state_ns = stamp_ns = now_ns if wall_time else simulation.stamp_ns
        for every, write, publisher in self._sensors:
            if simulation.step_count % every == 0:
                publisher.publish(write(signals, stamp_ns))
        self._state_sent_s = now_s = time.monotonic()
        if self._viewer is not None:
            self._viewer.show(simulation.world.data.qpos, simulation.world.disturbances)
        if now_s - self._clock_sent_s >= CLOCK_S and not wall_time:
            self._clock_sent_s = now_s
            self._clock.publish(ClockMessage(clock=to_stamp(stamp_ns)))

    def _publish_applied(self, applied: Applied, stamp_ns: int) -> None:
        message = named_command(self._spec, applied.values, stamp_ns)
        if applied.reason:
            message.header.frame_id = f'fallback: {applied.reason}'
        self._applied.publish(message)

    def _on_reset(self, request: Any, response: Any) -> Any:
        self.simulation.reset(time.monotonic(), self._draw())
        if self._active:
            self._publish_state()
        response.success = True
        response.message = f'new start state at {self.simulation.stamp_ns / 1e9:g} s'
        return response

    def _on_pause(self, request: Any, response: Any) -> Any:
        self.simulation.paused = bool(request.data)
        if not request.data:
            self.simulation.resume(time.monotonic())
        response.success, response.message = True, self.simulation.mode
        return response

    def _on_switch(self, disturbance: Disturbance, request: Any, response: Any) -> Any:
        self.simulation.disturb(disturbance, on=bool(request.data))
        response.success = True
        response.message = ', '.join(map(str, self.simulation.disturbances)) or 'none'
        return response

    def _on_disturbance(self, message: String) -> None:
        try:
            if message.data == 'none':
                self.simulation.undisturb()
            else:
                self.simulation.disturb(parse(message.data, self._spec), on=True)
        except UserError as error:
            self._node.get_logger().error(f'~/disturbance: {error}')

    def _on_report(self) -> None:
        simulation, now_s = self.simulation, time.monotonic()
        elapsed_s = max(now_s - self._reported_s, 1e-9)
        factor = (simulation.stamp_ns - self._reported_ns) / 1e9 / elapsed_s
        self._reported_s, self._reported_ns = now_s, simulation.stamp_ns
        values = {
            'mode': simulation.mode if self._active else 'inactive',
            'real_time_factor': factor,
            'step': simulation.period_count,
            'disturbances': ', '.join(map(str, simulation.disturbances)) or 'none',
            'command_age_s': simulation.command_age_s(now_s),
            'fallback': bool(simulation.last.reason),
            'reason': simulation.last.reason,
            'clamped_commands': simulation.clamped,
            'physics_healthy': simulation.world.healthy,
            **reasons('refused_commands', simulation.refused),
            **self._senders.values(),
        }
        conflicts = [*self._senders.conflicts(), *self._rivals()]
        level = OK if not simulation.last.reason else WARN
        level = level if simulation.world.healthy else ERROR
        message = simulation.last.reason or str(values['mode'])
        level, message = with_notices(level, message, values, conflicts)
        self._diagnostics.publish(
            diagnostic_message(self._node, 'simulation', self._spec.name, level, message, values)
        )

    def _rivals(self) -> list[str]:
        """Return who else publishes sensors of this robot: whoever reads them gets two robots."""
        node, names = self._node, Names(self._node)
        found = []
        for _, _, publisher in self._sensors:
            topic = publisher.topic_name
            there = publishers(node, topic)
            if len(there) > 1:
                said = ', '.join(names.of(topic, there))
                found.append(f'{topic} has {len(there)} senders: {said}')
        return found
