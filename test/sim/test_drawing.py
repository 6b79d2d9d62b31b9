# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np
from matplotlib.figure import Figure

from mbmrl_ros.sim.drawing import SideView
from mbmrl_ros.sim.world import World
from mbmrl_ros.spec.robot import load_robot

SPEC = load_robot('half_cheetah')


def test_outlines_are_where_the_bodies_are():
    world = World(SPEC)
    world.reset(np.random.default_rng(0))
    for _ in range(40):
        world.step(np.array(SPEC.action.upper))
    axes = Figure().subplots()
    SideView(SPEC).draw(axes, world.signals(), 'black', broken=['bthigh'])
    capsules = [g for g in range(world.model.ngeom) if world.model.geom_type[g] == 3]
    assert len(axes.patches) == len(capsules) == 8
    for patch, geom in zip(axes.patches, capsules):
        # The outline is symmetric about the capsule's centre.
        corners = patch.get_xy()[:-1]
        centre = (corners.max(0) + corners.min(0)) / 2
        assert np.allclose(centre, world.data.geom_xpos[geom][[0, 2]], atol=2e-3)
    red = [patch for patch in axes.patches if patch.get_facecolor()[0] > 0.7]
    assert len(red) == 1
