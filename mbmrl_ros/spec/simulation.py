# Copyright 2026 the mbmrl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulation section of the robot file: what MuJoCo adds to a robot, and how it is sensed."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from mbmrl_ros.config import Config, Positive

NotNegative = Annotated[FiniteFloat, Field(ge=0)]
# How far slopes can go along x, both ways, and up or down from level ground.
FARTHEST_M, HIGHEST_M = 50.0, 12.0


class Terrain(Config):
    """What the ground does to a foot."""

    friction: Positive = Field(0.8, description='Coulomb')
    compliance_s: Positive = Field(
        0.004, description='time constant in which the ground pushes a foot out: large is soft'
    )
    damping: Positive = Field(1.0, description='damping ratio of that')
    roughness_m: NotNegative = Field(0.0, description='height of the bumps above the plane')


class Battery(Config):
    """A voltage behind a resistance."""

    voltage_v: Positive = Field(description='without load')
    spread_v: NotNegative = Field(0.0, description='standard deviation over resets: its charge')
    resistance_ohm: NotNegative


class Readout(Config):
    """A signal that is a voltage, read by an analog-to-digital converter."""

    quantity: Literal['back_emf', 'battery']
    joint: str = Field('', description='of back_emf')
    counts_per_v: FiniteFloat
    driven_counts_per_v: FiniteFloat = Field(
        0.0, description='of a back_emf that is sampled while the motor is driven, which happens '
        'as often as the duty cycle says: the supply is seen then'
    )  # fmt: skip


class Motors(Config):
    """Direct-current motors behind speed controllers on one battery; quantities at the leg."""

    set_point: Positive = Field(description='units of the command for 1 rad/s')
    delay_s: NotNegative = Field(0.0, description='until a command is in force; below a period')
    period_s: Positive = Field(description='of the speed controllers')
    proportional_v_s: Positive = Field(description='volts for an error of 1 rad/s')
    integral_v: NotNegative = Field(0.0, description='volts for an error of 1 rad')
    torque_constant_nm_a: Positive = Field(description='also the back-EMF in V s/rad')
    winding_ohm: Positive
    inertia_kg_m2: Positive = Field(description='of rotor and gear, seen at the leg')
    battery: Battery
    readouts: dict[str, Readout] = Field(
        default={}, description='by signal, as in telemetry:data.0'
    )


class Sensing(Config):
    """How the messages of a topic differ from the truth."""

    delay_s: NotNegative = Field(0.0, description='age of what is measured; below a period')
    jitter_s: NotNegative = Field(0.0, description='standard deviation of that age')
    noise: dict[str, NotNegative] = Field(
        default={},
        description='standard deviation by field, as in pose.position; of a quaternion: of the '
        'turn about each axis [rad]',
    )
    resolution: dict[str, Positive] = Field(default={}, description='smallest change by field')
    lost: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        0.0, description='probability that drop-outs start at a period'
    )
    lost_periods: Annotated[FiniteFloat, Field(ge=1)] = Field(
        1.0, description='mean length of a drop-out, in which the last values are repeated'
    )


class Wheels(Config):
    """Wheels that turn as a twist asks: a differential drive, with one a side or more."""

    left: tuple[str, ...] = Field(min_length=1, description='joints with a velocity servo')
    right: tuple[str, ...] = Field(min_length=1, description='likewise')
    radius_m: Positive
    track_m: Positive = Field(description='between left and right')

    @property
    def joints(self) -> tuple[str, ...]:
        """All of them, those on the left first."""
        return (*self.left, *self.right)


class Arm(Config):
    """An arm on a fixed base whose own weight is balanced, as that of the PR2 is by springs."""

    tool: str = Field(description='link that holds things; payloads and forces act on it')
    start: dict[str, FiniteFloat] = Field(default={}, description='joint: where a run starts')
    scene: str = Field(
        '',
        description='MJCF relative to the robot file: its body tool is fixed to the link, and '
        'everything else stands in the world; default: nothing',
    )


class Slopes(Config):
    """Ground that goes up and down along x instead of the level floor of an MJCF model."""

    begin_m: Annotated[FiniteFloat, Field(gt=0, lt=FARTHEST_M)] = Field(
        1.0, description='x at which it begins; before it, where the robot starts, it is level'
    )
    profiles: dict[str, tuple[tuple[Positive, FiniteFloat], ...]] = Field(
        description='by name: pieces of constant grade, length and rise [m]; then it is level'
    )

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        for name, pieces in self.profiles.items():
            heights = itertools.accumulate(rise for _, rise in pieces)
            if not pieces or max(map(abs, heights)) > HIGHEST_M:
                raise ValueError(f'profiles: {name} needs pieces, within {HIGHEST_M:g} m of level')
        return self


class Pier(Config):
    """Eight floating blocks in a row instead of the floor of an MJCF model."""

    block_mass_kg: Positive
    stiffness_n_m: Positive = Field(description='of the water: force per depth')
    damping_ns_m: NotNegative = Field(description='of the water, where nothing else is said')
    friction: Positive = Field(description='of the blocks, where nothing else is said')
    damping_range: tuple[NotNegative, Positive] = Field(description='of drawn blocks [N s/m]')
    friction_range: tuple[Positive, Positive] = Field(description='of drawn blocks')
    robot_mass_kg: Positive | None = Field(
        None, description='all links of the robot are scaled to it; default: as in the model file'
    )


class Simulation(Config):
    """How MuJoCo plays this robot."""

    model: str = Field(
        description='gymnasium/<file>.xml, or a path relative to the robot file (MJCF or URDF)'
    )
    physics_steps: int = Field(1, ge=1, description='physics steps per control period')
    actuation_s: Positive | None = Field(
        None, description='in real time, how often actuators take a new command; default: as '
        'often as the fastest sensor comes'
    )  # fmt: skip
    bodies: dict[str, str] = Field(default={}, description='topic: MuJoCo body')
    reset_noise: dict[
        Literal['position', 'velocity', 'driven', 'uniform_position', 'uniform_velocity'],
        NotNegative,
    ] = Field(
        default={},
        description='standard deviation of the start state; driven: of the joints of the action, '
        'default: position; uniform_: half the width of a uniform noise on top',
    )
    start_height_m: FiniteFloat = Field(
        0.0, description='of the root body; default: that of the model file, 0 for a URDF'
    )
    start: dict[str, FiniteFloat] = Field(
        default={}, description='joint of an MJCF: where a run starts; default: as in the file'
    )
    without: tuple[str, ...] = Field((), description='bodies of an MJCF that are left out')
    terrains: dict[str, Terrain] = Field(
        default={},
        description='the ground, by name, in the place of the floor of an MJCF; the first is the '
        'usual one',
    )
    legs: tuple[str, ...] = Field((), description='bodies that can break off')
    limbs: dict[str, tuple[str, ...]] = Field(
        default={}, description='that can be crippled, by name: joints from the trunk outwards'
    )
    slopes: Slopes | None = None
    pier: Pier | None = None
    arm: Arm | None = Field(None, description='a robot that does not move about')
    wheels: Wheels | None = Field(None, description='of an MJCF that is commanded by twists')
    motors: Motors | None = Field(None, description='default: those of the model file')
    sensing: dict[str, Sensing] = Field(default={}, description='by topic; default: the truth')

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.model.endswith('.urdf'):
            for name in ('start', 'without', 'slopes', 'pier', 'wheels'):
                if getattr(self, name):
                    raise ValueError(f'{name} is for MJCF models, not for a URDF')
        floors = [name for name in ('slopes', 'pier', 'terrains') if getattr(self, name)]
        if len(floors) > 1:
            raise ValueError(f'{" and ".join(floors)} both take the place of the floor')
        return self
