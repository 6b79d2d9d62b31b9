# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from mbmrl_ros.config import UserError
from mbmrl_ros.sim import disturbances
from mbmrl_ros.sim.disturbances import Disturbance, Event, Kind, active, check, disturbed, parse
from mbmrl_ros.sim.sensors import load_model
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')
BACK, FRONT = Disturbance('disabled_joint', 'bthigh'), Disturbance('disabled_joint', 'ffoot')


def test_a_schedule_switches_at_the_exact_step():
    schedule = (Event(30, FRONT), Event(10, BACK), Event(20, BACK, on=False))
    expected = {9: (), 10: (BACK,), 19: (BACK,), 20: (), 29: (), 30: (FRONT,), 1000: (FRONT,)}
    assert {step: active(schedule, step) for step in expected} == expected


def test_one_disturbance_can_take_the_place_of_another_within_a_step():
    schedule = (Event(0, BACK), Event(5, BACK, on=False), Event(5, FRONT))
    assert active(schedule, 4) == (BACK,)
    assert active(schedule, 5) == (FRONT,)


def test_a_disturbance_that_comes_twice_is_there_once():
    schedule = (Event(0, BACK), Event(3, BACK), Event(6, BACK, on=False))
    assert active(schedule, 3) == (BACK,)
    assert active(schedule, 6) == ()


def test_the_end_of_what_never_began_is_no_matter():
    assert active((Event(0, BACK, on=False), Event(1, FRONT)), 1) == (FRONT,)


def test_a_step_before_the_reset_is_refused():
    with pytest.raises(UserError, match='disabled_joint:bthigh at step -1; steps count from 0'):
        Event(-1, BACK)


def test_disturbances_add_up_on_the_undisturbed_model():
    model = load_model(SPEC)
    same, gain = disturbed(SPEC, model, (BACK, FRONT))
    assert same is model
    assert gain.tolist() == [0, 1, 1, 1, 1, 0]
    weak = Disturbance('disabled_joint', 'bshin', 0.5)
    assert disturbed(SPEC, model, (weak, weak))[1].tolist() == [1, 0.25, 1, 1, 1, 1]
    assert disturbed(SPEC, model, ())[1].tolist() == [1] * 6


def test_a_kind_that_edits_the_model_leaves_the_original_as_it_was(monkeypatch):
    def load(spec, model, gain, disturbance):
        model.body(disturbance.target).mass += disturbance.value

    kind = Kind(lambda spec: ['torso'], (0.0, 10.0), load, edits_model=True)
    monkeypatch.setitem(disturbances.KINDS, 'payload', kind)
    model = load_model(SPEC)
    mass = float(model.body('torso').mass[0])
    loaded, gain = disturbed(SPEC, model, (parse('payload:torso:2.5'), FRONT))
    assert loaded.body('torso').mass[0] == pytest.approx(mass + 2.5)
    assert model.body('torso').mass[0] == mass
    assert gain.tolist() == [1, 1, 1, 1, 1, 0]
    with pytest.raises(UserError, match='payload takes a value from 0 to 10, got 12'):
        disturbed(SPEC, model, (Disturbance('payload', 'torso', 12.0),))


@pytest.mark.parametrize('text', ['disabled_joint:bthigh', 'disabled_joint:bshin:0.5'])
def test_the_written_form_is_read_back(text):
    assert str(parse(text)) == text
    assert parse(text).kind == 'disabled_joint'
    check(SPEC, parse(text))


@pytest.mark.parametrize(
    'disturbance',
    [
        # None at all of what is 15 degrees or 10 N where nothing is said.
        Disturbance('slope', 'x', 0.0),
        Disturbance('force', 'z', 0.0),
        # The numbers of draws do not bear rounding.
        Disturbance('rolling', 'ramps', 1234567.0),
        Disturbance('blocks', 'damping', 1e9),
        Disturbance('payload', 'markers', 0.0142),
    ],
)
def test_what_is_written_is_the_same_disturbance_when_it_is_read(disturbance):
    assert parse(str(disturbance)) == disturbance


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('disabled_jiont:bthigh', "'disabled_jiont'; did you mean 'disabled_joint'.*valid: bl"),
        ('', "unknown disturbance ''; valid: .*disabled_joint"),
        ('disabled_joint', "kind:target or kind:target:value, got 'disabled_joint'"),
        ('disabled_joint:', 'kind:target or kind:target:value'),
        ('disabled_joint:bthigh:0:1', 'kind:target or kind:target:value'),
        ('disabled_joint:bthigh:lots', "is a finite number, got 'lots'"),
        ('disabled_joint:bthigh:nan', "is a finite number, got 'nan'"),
        ('disabled_joint:bthigh:inf', "is a finite number, got 'inf'"),
    ],
)
def test_wrong_text_is_refused_with_what_is_valid(text, message):
    with pytest.raises(UserError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ('disturbance', 'message'),
    [
        (Disturbance('disabled_joint', 'btigh'), "'btigh'; did you mean 'bthigh'.*valid: bfoot"),
        (Disturbance('disabled_joint', 'bthigh', 1.5), 'value from 0 to 1, got 1.5'),
        (Disturbance('disabled_joint', 'bthigh', np.nan), 'value from 0 to 1, got nan'),
        (Disturbance('lightning', 'bthigh'), "unknown disturbance 'lightning'"),
    ],
)
def test_what_the_robot_cannot_have_is_refused_with_what_it_can(disturbance, message):
    with pytest.raises(UserError, match=message):
        check(SPEC, disturbance)
