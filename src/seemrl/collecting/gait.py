"""A gait that walks MuJoCo's ant in any direction, whichever way its body is turned.

Every joint follows a sine, held by a proportional-derivative controller. Opposite legs swing together, the two pairs
in turn. A leg across the direction pushes with its hip, a leg along it by bending its knee: with the angle d from the
direction to the leg, hips swing by -A sin(d) and ankles by R cos(d).
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float

_LEGS = np.deg2rad([45.0, 135.0, 225.0, 315.0])  # where they point, of the ant's own x axis; hip_1 is the first
_BENDS = np.array([1.0, -1.0, -1.0, 1.0])  # which sign bends the knee
_PAIRS = np.array([0.0, np.pi, 0.0, np.pi])  # opposite legs move together
_RANGE = np.deg2rad([30.0, 70.0])  # of the ankles
_MOTORS = [6, 7, 0, 1, 2, 3, 4, 5]  # the fourth leg's come first


@dataclass(frozen=True)
class Gait:
    """What the search looks for.

    Attributes:
        frequency: steps of one pair of legs a second.
        swing: amplitude of the hips (A), radians.
        lift: amplitude with which legs are lifted, radians.
        lift_phase: by which lifting precedes the swing, radians.
        reach: amplitude of the ankles of legs along the direction (R), radians.
        bend: mean bend of the ankles, radians.
        stiffness: torque a radian, as a share of the largest.
        damping: torque a radian a second, likewise.
    """

    frequency: float
    swing: float
    lift: float
    lift_phase: float
    reach: float
    bend: float
    stiffness: float
    damping: float

    def torques(
        self, observation: Float[np.ndarray, " numbers"], seconds: float, direction: float, speed: float = 1.0
    ) -> Float[np.ndarray, "8"]:
        """Actions in [-1, 1], in the order of the ant's motors.

        Args:
            observation: height, orientation as a quaternion, 8 joint angles, 6 velocities of the body and 8 of the
                joints, as Gymnasium's ant begins its own.
            seconds: since the gait began.
            direction: where to, from the world's x axis, radians.
            speed: from 0 (stepping on the spot) to 1.
        """
        w, x, y, z = observation[1:5]
        turned = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        off = _LEGS - (direction - turned)
        phase = 2 * np.pi * self.frequency * seconds + _PAIRS
        bend = self.bend + self.lift * np.sin(phase + self.lift_phase)
        bend = bend + speed * self.reach * np.cos(off) * np.sin(phase)
        wanted = np.empty(8)
        wanted[0::2] = -speed * self.swing * np.sin(off) * np.sin(phase)
        wanted[1::2] = _BENDS * np.clip(bend, *_RANGE)
        torques = self.stiffness * (wanted - observation[5:13]) - self.damping * observation[19:27]
        return np.clip(torques, -1, 1)[_MOTORS]


@cache
def stored_gait() -> Gait:
    """The gait that ``python -m benchmarks.ant_gait`` found."""
    return Gait(**json.loads((files("seemrl.collecting") / "ant_gait.json").read_text(encoding="utf-8")))
