# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How each method is drawn, in every figure: one colour, and a line where colours repeat.

Methods that are drawn together differ for every kind of sight (after the palettes of Paul Tol, and
of Okabe and Ito; test/reports/test_styles.py). Policies that are searched with models have a solid
line, the same optimiser without models a dashed one.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple


class Style(NamedTuple):
    """A colour, and a line as matplotlib names it."""

    colour: str
    line: str = '-'


STYLES = {
    # Models that adapt under a planner; in paler and darker shades those with other data or plans.
    'mb': Style('#8c6d31'),
    'mb_de': Style('#7b7b7b'),
    'grbal': Style('#1f6fb2'),
    'rebal': Style('#c25a00'),
    'mb_oracle': Style('#7cc47f'),
    'true_physics': Style('#222222'),
    'grbal_still': Style('#8fb8dc'),
    'mb_far': Style('#5c4516'),
    'mb_de_far': Style('#4f4f4f'),
    'grbal_far': Style('#0c3f6b'),
    'rebal_far': Style('#7a3800'),
    'mb_oracle_far': Style('#14471a'),
    'mb_first': Style('#d3bd8c'),
    'mb_de_first': Style('#c4c4c4'),
    'grbal_first': Style('#9cc4e4'),
    'rebal_first': Style('#f0b98a'),
    'mb_oracle_first': Style('#bfe3c1'),
    'mb_going_on': Style('#e3d9c0'),
    'mb_de_going_on': Style('#e0e0e0'),
    'grbal_going_on': Style('#cfe2f2'),
    'grbal_alone': Style('#17becf'),
    'rebal_alone': Style('#f2d16b'),
    'trpo_first': Style('#c3a3d6'),
    'trpo_thesis': Style('#d9c2e8'),
    # Meta policy search: TRPO's outer steps solid, plain ones dashed, first order dotted.
    'promp': Style('#009988'),
    'promp_first_order': Style('#009988', ':'),
    'maml_trpo': Style('#cc3311'),
    'maml_trpo_first_order': Style('#cc3311', ':'),
    'maml_vpg': Style('#cc3311', '--'),
    'e_maml_trpo': Style('#ee3377'),
    'e_maml_vpg': Style('#ee3377', '--'),
    'lvc_trpo': Style('#33bbee'),
    'lvc_vpg': Style('#33bbee', '--'),
    'dice_trpo': Style('#ee7733'),
    'dice_vpg': Style('#ee7733', '--'),
    'rl2': Style('#000000'),
    'pretrained': Style('#0077bb', '-.'),
    'random': Style('#7b7b7b', ':'),
    'oracle': Style('#7cc47f', '-.'),
    # Estimators of meta-gradients, as the algorithms that are named after them.
    'maml': Style('#cc3311'),
    'e_maml': Style('#ee3377'),
    'lvc': Style('#33bbee'),
    'dice': Style('#ee7733'),
    # Policy search with models and without.
    'mb_mpo': Style('#56b4e9'),
    'mb_mpo_still': Style('#56b4e9', ':'),
    'me_trpo': Style('#4b1d6b'),
    'me_trpo_1': Style('#4b1d6b', ':'),
    'me_trpo_10': Style('#4b1d6b', '-.'),
    'me_trpo_20': Style('#b07cc6', '-.'),
    'me_trpo_unchecked': Style('#b07cc6'),
    'me_trpo_1_unchecked': Style('#b07cc6', ':'),
    'trpo': Style('#4b1d6b', '--'),
    'me_ppo': Style('#999933'),
    'me_ppo_1': Style('#999933', ':'),
    'ppo': Style('#999933', '--'),
    'bptt': Style('#117733'),
    'maac': Style('#cc6677'),
    'maac_sac_actor': Style('#882255'),
    'maac_plain_targets': Style('#882255', '--'),
    'maac_no_entropy': Style('#cc6677', ':'),
    'maac_real_data': Style('#cc6677', '-.'),
    'sac': Style('#cc6677', '--'),
    # What an actor's gradient is taken through.
    'learned': Style('#cc6677'),
    'true_dynamics': Style('#0077bb', '--'),
    'true_values': Style('#999933', '-.'),
}

PARTS = ('#77aadd', '#ee8866', '#44bb99', '#eedd88', '#bbcc33', '#ffaabb')
"""Colours of what is no method: parts of a time, corners of a plane. Paler than those above."""
_SPARE = ('#332288', '#44aa99', '#ddaa33', '#bb5566', '#004488', '#6699cc', '#997700', '#aa4499')
_LINES = ('-', '--', ':', '-.')


def style_of(method: str) -> Style:
    """Return how a method is drawn: a row of STYLES, or one that hangs on its name alone."""
    if method in STYLES:
        return STYLES[method]
    place, line = divmod(zlib.crc32(method.encode()) % (len(_SPARE) * len(_LINES)), len(_LINES))
    return Style(_SPARE[place], _LINES[line])
