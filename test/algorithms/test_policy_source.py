# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy on a robot learns what it would have learned in training from the same rollouts."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from small_policy import SMALL, TASK, small_policy

from mbmrl_ros.algorithms import ALGORITHMS, INNER_STEPS
from mbmrl_ros.algorithms.policy_source import DriveSettings, goal_row, make_policy_source
from mbmrl_ros.bundles.policy import PolicyBundle, build_policy
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.meta_tasks import load_meta_task
from mbmrl_ros.envs.task_env import MetaTaskEnv, SamplingConfig
from mbmrl_ros.nodes.controller.policy_brain import at_once
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.meta.learner import adapt
from mbmrl_ros.training.meta.loop import restored_learner
from mbmrl_ros.training.meta.trials import TrialEnv, collect_trials
from mbmrl_ros.training.rollouts import collect
from mbmrl_ros.training.samples import score
from mbmrl_ros.types import Paths, Transitions

META = load_meta_task(TASK)
SPEC = load_robot(META.robot)
SHORT = replace(META, horizon=SMALL['horizon'])
GOAL = torch.tensor([[-1.0]])


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def source_of(bundle, goal='-1', exploration='auto'):
    settings = DriveSettings(goal, exploration, seed=3)
    return make_policy_source(SPEC, bundle, META, settings, at_once)


class Robot:
    """A robot that is put back after each rollout, and a controller that sees all of it."""

    def __init__(self, driver, generator):
        self._driver, self._generator = driver, generator
        self._system = META.system(1, 1, 1)
        self.decisions = []

    def rollout(self, steps=SMALL['horizon']):
        state = self._system.reset(GOAL, self._generator)
        nothing = torch.full((1, 1, SPEC.state_size), torch.nan)
        window = Transitions(nothing, torch.zeros(1, 1, SPEC.action_size), nothing)
        decision = self._act(window, False, state)
        drawn = self._generator.get_state()
        for _ in range(steps):
            action = decision.action
            after, _ = self._system.step(action, np.ones(1, bool))
            window = Transitions(*(part[None].float() for part in (state, action, after)))
            drawn, state = self._generator.get_state(), after
            decision = self._act(window, True, state)
        # In training nobody draws an action for the last state.
        self._generator.set_state(drawn)
        return self.decisions.pop()

    def _act(self, window, follows, state):
        decision = self._driver.act(window, torch.tensor([follows]), state.float())
        self.decisions.append(decision)
        return decision


def beside(parts):
    """Put paths of one task side by side."""

    def joined(values):
        if isinstance(values[0], dict):
            return {name: joined([value[name] for value in values]) for name in values[0]}
        return torch.cat(values, 1)

    return Paths(**{f.name: joined([getattr(p, f.name) for p in parts]) for f in fields(Paths)})


@pytest.mark.parametrize(
    ('algorithm', 'changes'),
    [
        ('promp', {}),
        ('dice_trpo', {'inner_steps': 2}),
        ('maml_vpg', {'learn_step_sizes': True, 'bootstrap': True}),
        ('lvc_trpo', {'gae_lambda': 0.9, 'baseline': 'time', 'whole_state': False}),
    ],
)
def test_the_parameters_after_the_inner_step_are_those_of_training(algorithm, changes):
    bundle = small_policy(algorithm, **changes)
    config = ALGORITHMS[algorithm].Config(**bundle.info.training)
    if config.learn_step_sizes:
        sizes = {f'step_sizes/{k}': torch.full_like(v, 0.3) for k, v in bundle.params.items()}
        bundle = PolicyBundle(bundle.info, bundle.tensors | sizes)
    driver, generator = source_of(bundle)
    robot, ours = Robot(driver, generator), driver._learner

    learner, env, stream = restored_learner(bundle, config), MetaTaskEnv(SHORT, 1, 1), seeded()
    surrogate, credit = INNER_STEPS[algorithm]
    for step in range(config.inner_steps):
        before = ours.params
        for k in range(config.rollouts):
            decision = robot.rollout()
            assert bool(decision.adapted and decision.adapted.accepted) == (k + 1 == 3)
        theirs = beside([collect(env, learner.policy, before, GOAL, stream) for _ in range(3)])
        recorded = ours._rounds[step]
        assert torch.equal(recorded.observations, theirs.observations)
        assert torch.equal(recorded.last_observation, theirs.last_observation)
        assert torch.equal(recorded.alive, theirs.alive)
        assert torch.equal(recorded.ended, theirs.ended)
        torch.testing.assert_close(recorded.actions, theirs.actions)
        torch.testing.assert_close(recorded.distribution, theirs.distribution)
        # What really happened is paid for as the environment pays, to the precision of states.
        torch.testing.assert_close(recorded.rewards, theirs.rewards, atol=1e-5, rtol=0)
        samples = [score(paths, config, credit) for paths in ours._rounds]
        with torch.no_grad():
            params = adapt(learner, learner.trained, samples, surrogate).params
        for name, value in params.items():
            assert (value - before[name]).abs().max() > 1e-4, 'it moves'
            assert torch.equal(ours.params[name], value[0])
    assert decision.adapted.loss_after < decision.adapted.loss_before
    assert decision.mode == 'policy: adapted'


@pytest.mark.parametrize('algorithm', ['bptt', 'mb_mpo', 'me_ppo', 'me_trpo'])
def test_what_was_learned_in_models_drives_by_its_means_and_learns_nothing(algorithm):
    task = load_meta_task('half_cheetah/thesis')
    config = ALGORITHMS[algorithm].Config(hidden_sizes=(8,))
    drawn = small_policy('promp')
    update = {
        'algorithm': algorithm,
        'task': task.name,
        'training': config.model_dump(mode='json'),
    }
    bundle = PolicyBundle(drawn.info.model_copy(update=update), drawn.tensors)
    settings = DriveSettings('', 'auto', seed=3)
    driver, _ = make_policy_source(SPEC, bundle, task, settings, at_once)
    state = torch.randn(1, SPEC.state_size, generator=seeded())
    nothing = torch.full((1, 1, SPEC.state_size), torch.nan)
    window = Transitions(nothing, torch.zeros(1, 1, SPEC.action_size), nothing)
    decision = driver.act(window, torch.tensor([False]), state)
    shown = state[:, list(SPEC.input_indices)]
    mean = build_policy(bundle.info).distribution(bundle.params, shown)['mean']
    expected = (mean.double() / bundle.info.action_scale).clamp(-1, 1)
    torch.testing.assert_close(decision.action, expected)
    assert decision.mode == 'policy: as trained'


@pytest.mark.parametrize('cell', ['gru', 'lstm'])
def test_a_policy_that_remembers_is_shown_what_it_was_shown_in_training(cell):
    bundle = small_policy('rl2', episodes=3, cell=cell)
    driver, generator = source_of(bundle, exploration='always')
    robot, policy = Robot(driver, generator), build_policy(bundle.info)
    for _ in range(3):
        robot.rollout()
    env = TrialEnv(MetaTaskEnv(SHORT, 1, 1))
    trial, _ = collect_trials(env, policy, bundle.params, GOAL, 3, seeded())
    ours = torch.cat([decision.action for decision in robot.decisions])
    theirs = (trial.actions[0, 0].double() / META.action_scale).clamp(-1, 1)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    assert [d.mode for d in robot.decisions[::5]] == [
        'policy: rollout 1 of 2', 'policy: rollout 2 of 2', 'policy: adapted',
    ]  # fmt: skip


def test_the_last_episode_of_a_trial_is_repeated_from_the_memory_that_it_began_with():
    driver, generator = source_of(small_policy('rl2', episodes=2))
    robot, learner = Robot(driver, generator), driver._learner
    robot.rollout()
    carry, last = learner._carry, learner._last
    assert last[0, -1] == 1 and carry.abs().max() > 0
    robot.rollout()
    assert learner._carry is carry and learner._last is last
    robot.rollout(steps=3)
    assert not torch.equal(learner._carry, carry)
    robot.rollout(steps=0)  # after a gap
    assert learner._carry is carry
    driver.reset()
    assert not learner._carry.any() and not learner._last.any()


def test_observations_and_rewards_are_normalised_as_they_were_at_the_end_of_training():
    on = {'normalize_observations': True, 'normalize_rewards': True}
    bundle = small_policy('rl2', **on)
    with pytest.raises(UserError, match='normalizer/rewards_variance is not in model'):
        source_of(bundle)
    statistics = {
        'normalizer/observations_mean': torch.arange(17.0).double(),
        'normalizer/observations_variance': torch.full((17,), 4.0).double(),
        'normalizer/rewards_variance': torch.tensor([9.0]).double(),
    }
    driver, _ = source_of(PolicyBundle(bundle.info, bundle.tensors | statistics))
    state = torch.randn(3, 1, 18, generator=seeded()).double()
    seen = driver._task.observe(state[0].float())
    env = MetaTaskEnv(SHORT, 1, 1, SamplingConfig(**on))
    torch.testing.assert_close(
        seen, ((state[0, :, 1:] - statistics['normalizer/observations_mean']) / 2).float()
    )
    assert env.observation_size == seen.shape[1]
    action = torch.zeros(1, 6).double()
    paid = META.reward(state[0], action, state[1], GOAL.double())
    torch.testing.assert_close(driver._task.reward(state[0], action, state[1]), paid / 3)


def test_the_mean_is_for_those_that_learn_no_more():
    bundle = small_policy('promp')
    for exploration, random in (('never', False), ('always', True), ('auto', True)):
        driver, generator = source_of(bundle, exploration=exploration)
        robot, untouched = Robot(driver, generator), generator.get_state()
        robot._act(Transitions(*torch.full((3, 1, 1, 18), torch.nan)), False, torch.zeros(1, 18))
        assert torch.equal(generator.get_state(), untouched) != random
        assert (robot.decisions[0].mode == 'policy: as trained') == (exploration == 'never')
    for _ in range(3):
        robot.rollout()
    adapted = generator.get_state()
    driver.act(
        Transitions(*torch.full((3, 1, 1, 18), torch.nan)),
        torch.tensor([False]),
        torch.zeros(1, 18),
    )
    assert torch.equal(generator.get_state(), adapted)


def test_a_goal_is_as_many_numbers_as_the_reward_has_goals():
    assert goal_row(META, '-0.5').tolist() == [[-0.5]]
    ant = load_meta_task('ant/direction')
    assert goal_row(ant, '0.6, 0.8').shape == (1, 2)
    hopper = load_meta_task('hopper/random_parameters')
    assert (goal_row(hopper, '') == 1).all()
    for task, goal in ((META, ''), (META, '1 2'), (META, 'nan'), (META, 'left'), (hopper, '1')):
        with pytest.raises(UserError, match='valid: ') as refused:
            goal_row(task, goal)
        assert '\n' not in str(refused.value) and f'{goal!r}' in str(refused.value)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'algorithm': 'prompt'}, "algorithm 'prompt'; did you mean 'promp'"),
        ({'algorithm': 'rl2', 'training': {}}, 'no policy of rl2 is feed-forward'),
        ({'training': {'alpha': -1}}, 'bundle of promp, training: alpha'),
        ({'observation_size': 18}, 'damaged: by bundle.json params/weight0 is'),
        ({'whole_state': True}, 'its policy has 17 inputs and 6 actions, half_cheetah_20hz 18'),
    ],
)
def test_a_bundle_that_does_not_fit_is_one_line(changes, message):
    bundle = small_policy('promp')
    bundle = PolicyBundle(bundle.info.model_copy(update=changes), bundle.tensors)
    with pytest.raises(UserError, match=message) as refused:
        source_of(bundle)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('task', ['ant/direction', 'point/navigation'])
def test_a_task_of_another_robot_is_one_line(task):
    settings = DriveSettings('1 0')
    with pytest.raises(UserError, match='half_cheetah_20hz is driven'):
        make_policy_source(SPEC, small_policy('promp'), load_meta_task(task), settings, at_once)
