# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which steps of a robot are a policy's own, and what becomes of its rollouts."""

from concurrent.futures import Future
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mbmrl_ros.policies.gaussian import GaussianPolicy
from mbmrl_ros.rewards.reward import never_done
from mbmrl_ros.robot.controller import Controller
from mbmrl_ros.robot.policy_driver import WAITING, DrivenTask, PolicyDriver
from mbmrl_ros.robot.policy_learners import GradientLearner, Schedule
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.types import Adapted, Reading, Transitions

POLICY = GaussianPolicy(1, 1, (4,))
PARAMS = POLICY.init(torch.Generator().manual_seed(0))
BETTER = {name: value + 1 for name, value in PARAMS.items()}
YES = torch.ones(1, dtype=torch.bool)


def outcome(params=BETTER, sound=YES):
    return Adapted(params, torch.tensor([0.5]), torch.tensor([0.25]), sound, ~sound)


class Bench:
    """A point that moves by its action, at rest in between; 2 rollouts of 3 steps to adapt from.

    given: what the policy was adapted to. running: inner steps that are not done by themselves.
    """

    def __init__(self, reward=None, done=never_done, inner_steps=1, params=PARAMS):
        self.given, self.running = [], []

        def start(compute):
            self.given.append(compute())
            self.running.append(Future())
            return self.running[-1]

        schedule = Schedule(rollouts=2, horizon=3, inner_steps=inner_steps)
        self.learner = GradientLearner(POLICY, params, lambda rounds: rounds, schedule, start)
        reward = reward or (lambda state, action, after: after[..., 0] - state[..., 0])
        task = DrivenTask(3, reward, done, lambda state: state, 4.0)
        self.driver = PolicyDriver(self.learner, task, torch.Generator().manual_seed(0))
        self.state, self.window = torch.zeros(1, 1), None

    def tick(self, moved=None):
        """Act; then the point moves. moved: by something else than the action."""
        nothing = torch.full((1, 1, 1), torch.nan)
        window = self.window or Transitions(nothing, nothing, nothing)
        follows = torch.tensor([self.window is not None])
        decision = self.driver.act(window, follows, self.state)
        action = decision.action.float() if moved is None else torch.tensor([[moved]])
        self.window = Transitions(self.state[None], action[None], (self.state + action)[None])
        self.state = self.state + action
        return decision

    def ticks(self, count):
        return [self.tick() for _ in range(count)]


def test_rollouts_are_counted_in_steps_and_the_inner_step_is_used_when_it_is_done():
    bench = Bench()
    modes = [decision.mode for decision in bench.ticks(7)]
    assert modes[:6] == ['policy: rollout 1 of 2'] * 3 + ['policy: rollout 2 of 2'] * 3
    [[paths]] = bench.given
    assert paths.observations.shape == (1, 2, 3, 1) and paths.alive.all() and not paths.ended.any()
    # Each rollout begins where the one before ended.
    assert paths.observations[0, 1, 0, 0] == paths.last_observation[0, 0, 0]
    moved = (paths.actions / 4.0).clamp(-1, 1)[..., 0]
    torch.testing.assert_close(paths.rewards, moved)
    # As long as it is computed the robot is driven on as before.
    assert modes[6] == 'policy: adapting'
    assert all(decision.adapted is None for decision in bench.ticks(2))
    bench.running[0].set_result(outcome())
    first, second = bench.ticks(2)
    assert bench.learner.params is BETTER and len(bench.given) == 1
    assert first.adapted.accepted and first.mode == 'policy: adapted'
    assert not second.adapted.accepted and second.adapted.loss_after == 0.25
    expected = POLICY.distribution(BETTER, bench.window.states[0])['mean'].double() / 4
    torch.testing.assert_close(second.action, expected.clamp(-1, 1))


@pytest.mark.parametrize('failure', ['not finite', 'raises'])
def test_an_inner_step_that_fails_is_refused_and_its_rollouts_are_collected_again(failure):
    bench = Bench()
    bench.ticks(7)
    if failure == 'raises':
        bench.running[0].set_exception(ValueError('3 of 6 steps have a reward that is not finite'))
    else:
        bench.running[0].set_result(outcome(sound=~YES))
    decision = bench.tick()
    assert decision.adapted.refused and not decision.adapted.accepted
    assert bench.learner.params is PARAMS and decision.mode == 'policy: rollout 1 of 2'
    bench.ticks(6)
    assert len(bench.given) == 2


def gap(bench):
    bench.window = None


def missed_period(bench):
    """The controller notes a state that nobody was asked about."""
    states = bench.window.next_states
    bench.window = Transitions(states, states * 0, states + 1)
    bench.state = bench.state + 1


def disown(bench):
    bench.driver.disown()


@pytest.mark.parametrize('interrupt', [gap, missed_period, disown])
def test_a_rollout_that_is_not_the_policys_own_is_begun_anew(interrupt):
    bench = Bench()
    bench.ticks(6)  # of which 5 have ended: 2 steps into the second one
    interrupt(bench)
    begin = bench.state.clone()
    assert [d.mode for d in bench.ticks(4)] == ['policy: rollout 2 of 2'] * 3 + [
        'policy: adapting'
    ]
    [[paths]] = bench.given
    assert paths.observations[0, 1, 0] == begin
    assert paths.observations[0, 0, 0] == 0


def test_a_reward_that_is_not_finite_belongs_to_no_rollout_and_is_said(caplog):
    paid = iter([1.0, torch.nan, *[1.0] * 9])
    bench = Bench(reward=lambda state, action, after: torch.tensor([next(paid)]))
    bench.ticks(9)
    [[paths]] = bench.given
    assert (paths.rewards == 1).all()
    assert caplog.text.count('reward of a step is not finite') == 1


def test_an_action_that_is_not_finite_is_none_and_is_not_recorded():
    bench = Bench(params={name: value * torch.nan for name, value in PARAMS.items()})
    decision = bench.tick()
    assert not decision.valid and not decision.action.any()


def test_an_end_ends_a_rollout_and_the_next_one_waits_for_a_state_that_is_none():
    bench = Bench(done=lambda state: state[..., 0] > 5)
    bench.ticks(2)
    bench.tick(moved=10.0)
    bench.state, bench.window = bench.window.next_states[0], bench.window
    for _ in range(2):
        decision = bench.tick(moved=0.0)
        assert decision.mode == WAITING
    bench.tick(moved=-10.0)
    bench.ticks(4)
    [[paths]] = bench.given
    assert paths.ended.tolist() == [[True, False]]
    assert paths.alive.tolist() == [[[True] * 3, [True] * 3]]
    assert paths.rewards[0, 0, 2] == 10 and paths.observations[0, 1].max() < 5


def test_each_of_several_inner_steps_has_rollouts_of_its_own():
    bench = Bench(inner_steps=2)
    bench.ticks(7)
    bench.running[0].set_result(outcome())
    assert bench.tick().mode == 'policy: rollout 3 of 4'
    bench.ticks(6)
    assert [len(rounds) for rounds in bench.given] == [1, 2]
    assert bench.given[1][0] is bench.given[0][0]


def test_a_reset_forgets_also_what_is_being_computed():
    bench = Bench()
    bench.ticks(7)
    bench.driver.reset()
    bench.running[0].set_result(outcome())
    assert bench.tick().adapted is None
    assert bench.learner.params is PARAMS and bench.learner.mode == 'policy: rollout 1 of 2'


SPEC = load_robot('half_cheetah_20hz')


class Recorder:
    """A source that says what it is told."""

    window_size = 1

    def __init__(self):
        self.disowned, self.resets, self.valid = 0, 0, True

    def disown(self):
        self.disowned += 1

    def reset(self):
        self.resets += 1

    def act(self, *arguments):
        action = torch.full((1, 6), 0.5)
        return SimpleNamespace(
            action=action, valid=torch.tensor([self.valid]), adapted=None, plan=None, adapt_s=0.0,
            plan_s=0.0, mode='policy: adapted', truncated=False,
        )  # fmt: skip


def test_a_controller_tells_which_commands_were_not_the_policys():
    now = [0.0]
    source = Recorder()
    controller = Controller(SPEC, source, clock=lambda: now[0])

    def tick():
        now[0] += SPEC.period_s
        for topic in SPEC.topics:
            values = (0.1,) * len(SPEC.topic_signals(topic))
            controller.on_reading(Reading(topic, now[0], now[0], values))
        before = source.disowned
        command = controller.tick(now[0]).command
        return command, source.disowned > before

    for _ in range(3):
        command, told = tick()
        assert not told and np.allclose(command.values, 0.5 * np.array(SPEC.action.upper))
    source.valid = False
    command, told = tick()
    assert told and command.fallback and command.reason == 'no action was finite'
    source.valid = True
    controller.e_stop('test')
    command, told = tick()
    assert told and command.fallback
    # The task is the same after a stop, so that what was learned stays; a reset forgets it.
    controller.release()
    assert source.resets == 0 and controller.counters.beginnings == 1
    assert not tick()[1]
    before = source.disowned
    controller.fall_back('internal error', now[0])
    controller.send(controller.decayed_command(1.0), lambda command: None)
    assert source.disowned == before + 2
    controller.reset()
    assert source.resets == 1
