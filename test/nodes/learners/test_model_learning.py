# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The learner of a model that is planned in, without its node."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save
from scripted_link import Link
from small_learning import MODEL, MODEL_TASK, PAST, STEPS, model_parameters

from mbmrl_ros.algorithms import ALGORITHMS, LEARNERS
from mbmrl_ros.bundles.dynamics import load_bundle
from mbmrl_ros.config import UserError
from mbmrl_ros.envs.robot_env import RobotEnv
from mbmrl_ros.envs.tasks import load_task
from mbmrl_ros.nodes.controller.visuals import imagined
from mbmrl_ros.nodes.learners.driving import FIRST, ModelDriving
from mbmrl_ros.nodes.learners.learner_topics import LearnerTopics
from mbmrl_ros.nodes.learners.link import Stopped
from mbmrl_ros.nodes.learners.model_learner import learn_model
from mbmrl_ros.nodes.learners.parcels import unpack
from mbmrl_ros.nodes.learners.parts import MODEL as KIND
from mbmrl_ros.nodes.learners.parts import as_tensors
from mbmrl_ros.nodes.learners.plan import plan_part
from mbmrl_ros.nodes.learners.policy_learner_node import ROLE
from mbmrl_ros.nodes.learners.settings import LearnerSettings
from mbmrl_ros.spec.robot import load_robot
from mbmrl_ros.training.dynamics.collect import EpisodePlan, collect, random_actions
from mbmrl_ros.training.run import Run
from mbmrl_ros.types import Transitions


def request_of(folder, algorithm='grbal', start_from='', **changes):
    given = model_parameters(folder, algorithm, **changes)
    given['settings'] = tuple(given['settings'])
    return given | {'niceness': 0, 'checkpoint_s': 1e-6, 'start_from': str(start_from)}


@pytest.fixture(scope='module')
def pieces(tmp_path_factory):
    """Random episodes by their numbers, as they are sent."""
    part = plan_part(LearnerSettings(**request_of(tmp_path_factory.mktemp('part'))))
    problem, count = part.problem, 5
    act = random_actions(problem.spec, torch.Generator().manual_seed(0), count)
    episodes = EpisodePlan([()] * count, STEPS)
    env = RobotEnv(problem.spec, count)
    found = collect(env, problem, act, episodes, np.random.default_rng(0)).trajectories
    return {str(i): save(as_tensors(piece)) for i, piece in enumerate(found, 1)}


def work(request, inbox, steps):
    link = Link(inbox, steps)
    with pytest.raises(Stopped):
        learn_model(link, request)
    part = plan_part(LearnerSettings(**request))
    layout = part.layouts[KIND]
    return link, [unpack(data, KIND, part.origin, layout) for data in link.all('parcel')]


@pytest.mark.parametrize('algorithm', LEARNERS)
def test_a_model_is_fitted_epoch_by_epoch_and_goes_on_from_its_checkpoint(
    tmp_path, pieces, algorithm
):
    request = request_of(tmp_path, algorithm)
    first = {number: pieces[number] for number in '12'}
    link, parcels = work(request, [first, {}, {}, {'3': pieces['3']}], 12)
    progress = [p for p in link.all('progress') if 'validation_error' in p]
    assert [parcel.version for parcel in parcels] == [(1, n) for n in range(1, len(parcels) + 1)]
    # An epoch that is worse leaves the model as it was.
    assert all(p['validation_error'] <= p['validation_before'] for p in progress)
    assert progress[-1]['environment_steps'] == 3 * STEPS
    # There was no model before the first fit; the third piece was new to the one that was there.
    errors = [p['error_on_new_data'] for p in progress]
    assert np.isnan(errors[:3]).all() and np.isfinite(errors[3:]).all()

    # Started again, it has what it has got, also where nobody sends it any more.
    _, again = work(request, [{number: pieces[number] for number in '45'}], 2)
    # The last epoch came after the last checkpoint.
    assert len(list((tmp_path / KIND / 'data').iterdir())) == 5
    begun, went_on, *_ = (parcel.version for parcel in again)
    assert (begun, went_on) == ((2, len(parcels) - 1), (2, len(parcels)))
    kept = parcels[-2].tensors
    assert all(torch.equal(value, kept[name]) for name, value in again[0].tensors.items())
    part = plan_part(LearnerSettings(**request))
    bundle = load_bundle(tmp_path / KIND, part.problem.spec)
    assert bundle.info.algorithm == algorithm and bundle.info.task == MODEL_TASK
    last = part.bundle(again[1].tensors)
    assert all(torch.equal(bundle.params[k], v) for k, v in last.params.items())
    assert all(torch.equal(bundle.step_sizes[k], v) for k, v in last.step_sizes.items())


def test_what_is_too_short_for_a_window_and_one_piece_alone_are_waited_over(tmp_path, pieces):
    part = plan_part(LearnerSettings(**request_of(tmp_path / 'other')))
    short = save(part.layouts['episode'].tensors)
    link, parcels = work(request_of(tmp_path / 'a'), [{'1': short}], 3)
    assert not parcels and link.waited == 3
    # One piece of 40 steps is cut into two: a window has ten.
    _, parcels = work(request_of(tmp_path / 'b'), [{'1': pieces['1']}], 1)
    assert len(parcels) == 1


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A finished run of two iterations."""
    folder = tmp_path_factory.mktemp('run')
    algorithm = ALGORITHMS['grbal']
    planner = {'candidates': 8, 'horizon': 3}
    given = MODEL | {'planner': planner, 'control_planner': planner, 'iterations': 2, 'epochs': 2}
    config = algorithm.Config.model_validate(given)
    algorithm.train(load_task(MODEL_TASK), config, Run(folder, config, {}), 0)
    return folder


def test_a_run_gives_its_model_and_its_data(tmp_path, pieces, run):
    request = request_of(tmp_path, start_from=run)
    part = plan_part(LearnerSettings(**request))
    known = load_bundle(run, part.problem.spec)
    # It has something to learn from before any episode has come.
    link, parcels = work(request, [{}, {'1': pieces['1']}], 2)
    progress = [p for p in link.all('progress') if 'validation_error' in p]
    assert [p['environment_steps'] for p in progress] == [160, 200]
    assert np.isfinite(progress[1]['error_on_new_data'])
    begun = part.begin_models({})
    assert all(torch.equal(begun.state.params[k], v) for k, v in known.params.items())
    assert torch.equal(begun.normalizer.state_std, known.dynamics.normalizer.state_std)
    # The robot is driven by that model at once.
    driving = ModelDriving(part, torch.Generator(), lambda piece, proposal: None)
    version, _ = driving.driven_by(driving.driver.proposal)
    assert version == FIRST and parcels[0].version > FIRST
    drives = part.first_bundle()
    assert all(torch.equal(drives.step_sizes[k], v) for k, v in known.step_sizes.items())

    # So does one that was learned beside a robot: here with a piece of 40 steps.
    link, _ = work(request_of(tmp_path / 'next', start_from=tmp_path / KIND), [], 1)
    assert link.all('progress')[-1]['environment_steps'] == STEPS
    # Into the same folder its data would count twice.
    with pytest.raises(UserError, match='goes on from its own model: leave start_from out'):
        plan_part(LearnerSettings(**request_of(tmp_path, start_from=tmp_path / KIND)))


class Loop:
    """A controller whose worker does at once what it is asked to."""

    def submit(self, job):
        job()


def decided(driving, steps):
    """Return what is decided at the first step of an episode, before which there were so many."""
    spec = driving._part.problem.spec
    states, actions = (
        torch.full((1, PAST, size), torch.nan) for size in (spec.state_size, spec.action_size)
    )
    driving.driver.reset()
    driving.begin(0, steps)
    whole, state = torch.zeros(1, dtype=torch.bool), torch.zeros(1, spec.state_size)
    return driving.driver.act(Transitions(states, actions, states), whole, state)


@pytest.mark.parametrize('begins', ['run', 'nothing'])
def test_what_rviz_draws_is_imagined_in_the_model_that_is_planned_in(
    tmp_path, pieces, run, begins
):
    request = request_of(tmp_path, start_from=run if begins == 'run' else '')
    part = plan_part(LearnerSettings(**request))
    driving = ModelDriving(part, torch.Generator().manual_seed(0), lambda *given: None)
    first = decided(driving, 0).dynamics
    if begins == 'run':
        known = load_bundle(run, part.problem.spec).dynamics.normalizer
        assert torch.equal(first.normalizer.delta_std, known.delta_std)
    else:
        assert first is None, 'there is nothing to draw'
    _, [parcel] = work(request, [{number: pieces[number] for number in '12'}], 1)
    driving.take(parcel, SimpleNamespace(loop=Loop()))
    drawn = decided(driving, part.random_steps)
    learned = parcel.tensors['normalizer/delta_std']
    assert torch.equal(drawn.dynamics.normalizer.delta_std, learned)
    path, _, _ = imagined(drawn)
    step = part.bundle(parcel.tensors).dynamics.step
    _, after = step(drawn.adapted.params, None, drawn.start[:, None], drawn.plan.actions[:, :1])
    torch.testing.assert_close(path[1], after[0, 0])


def test_a_training_goes_on_from_the_same_run_or_from_none(tmp_path, pieces, run):
    work(request_of(tmp_path, start_from=run), [{'1': pieces['1']}], 1)
    for other in ('', tmp_path / KIND):
        request = request_of(tmp_path, start_from=other)
        link = Link([], 1)
        with pytest.raises(UserError, match='start_from') as caught:
            learn_model(link, request)
        assert '\n' not in str(caught.value) and not link.said


@pytest.fixture(scope='module')
def searched(tmp_path_factory):
    """A finished run that searched for a policy, with three episodes of 40 steps."""
    folder = tmp_path_factory.mktemp('searched')
    algorithm = ALGORITHMS['me_ppo']
    given = {
        'iterations': 1, 'members': 2, 'model_hidden_sizes': [8], 'epochs': 1, 'batch_size': 16,
        'real_rollouts': 3, 'updates': 1, 'imagined_rollouts': 3, 'horizon': STEPS,
    }  # fmt: skip
    config = algorithm.Config.model_validate(given)
    algorithm.train(algorithm.load_task(MODEL_TASK, ''), config, Run(folder, config, {}), 0)
    return folder


def test_a_search_for_a_policy_gives_its_data_alone(tmp_path, pieces, searched):
    request = request_of(tmp_path, start_from=searched)
    part = plan_part(LearnerSettings(**request))
    assert part.first_bundle() is None and not part.begin_models({}).trained
    driving = ModelDriving(part, torch.Generator().manual_seed(0), lambda *given: None)
    assert driving.driven_by(driving.driver.proposal)[0] is None
    link, [_, second] = work(request, [{}, {'1': pieces['1']}], 2)
    steps = [p['environment_steps'] for p in link.all('progress') if 'validation_error' in p]
    assert steps == [3 * STEPS, 4 * STEPS]
    # It is planned in as soon as it is there, without random episodes of one's own.
    driving.take(second, SimpleNamespace(loop=Loop()))
    assert decided(driving, 0).dynamics is not None
    with pytest.raises(UserError, match='no weights that could stay'):
        plan_part(LearnerSettings(**request_of(tmp_path, start_from=searched, learning_rate=0)))
    with pytest.raises(UserError, match='does not fit robot'):
        other = request_of(tmp_path, start_from=searched) | {'task': 'pr2_left_arm/reach'}
        plan_part(LearnerSettings(**other))


@pytest.mark.parametrize(
    ('algorithm', 'changes', 'reason'),
    [
        ('grbal', {'hidden_sizes': [8]}, 'choose the same hidden_sizes'),
        ('grbal', {'step_sizes': 'unit'}, 'choose the same hidden_sizes'),
        ('rebal', {}, 'with no cells, this one has lstm cells: choose another run'),
    ],
)
def test_a_run_that_does_not_fit_is_refused_before_anything_runs(
    tmp_path, run, algorithm, changes, reason
):
    with pytest.raises(UserError, match=reason) as caught:
        plan_part(LearnerSettings(**request_of(tmp_path, algorithm, run, **changes)))
    assert '\n' not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_run_of_another_algorithm_gives_the_weights_and_no_state_of_its_optimiser(
    tmp_path, pieces, run
):
    # GrBAL's optimiser holds step sizes as well, which MB has none of.
    request = request_of(tmp_path, 'mb', run)
    begun = plan_part(LearnerSettings(**request)).begin_models({})
    known = load_bundle(run, load_robot('half_cheetah'))
    assert all(torch.equal(v, known.params[name]) for name, v in begun.state.params.items())
    assert not begun.state.optimiser.state
    _, parcels = work(request, [{'1': pieces['1']}], 2)
    assert len(parcels) == 2


def test_there_is_no_policy_to_be_learned(tmp_path):
    with pytest.raises(UserError, match='grbal learns no policy: leave this node out'):
        LearnerTopics(ROLE, None, LearnerSettings(**request_of(tmp_path)))
    assert not list(tmp_path.iterdir())
