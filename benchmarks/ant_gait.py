"""Search a gait for `seemrl.collecting.gait`: python -m benchmarks.ant_gait --out src/seemrl/collecting/ant_gait.json

Differential evolution (SciPy) on Ant-v5 for a few generations. A gait's cost is minus the mean over four directions of
the metres it walks that way in 8 seconds, less half of those it strays to the side; falling over counts as a step back.
Its torques are noisy, as they are while data are collected: what is found without noise is faster, and falls with it.
Then the gait is walked for 16 seconds in eight other directions, and the metres are printed.
"""

import argparse
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from scipy.optimize import differential_evolution

from seemrl.collecting.gait import Gait
from seemrl.data.environments import make_environment
from seemrl.files import write_text

BOUNDS: dict[str, tuple[float, float]] = {
    "frequency": (0.5, 4.0),
    "swing": (0.0, 0.52),
    "lift": (0.0, 0.5),
    "lift_phase": (-np.pi, np.pi),
    "reach": (-0.5, 0.5),
    "bend": (0.52, 1.22),
    "stiffness": (0.2, 4.0),
    "damping": (0.0, 0.4),
}
DIRECTIONS = np.linspace(0, 2 * np.pi, 4, endpoint=False) + 0.3
NOISE = 0.3  # standard deviation, of torques in [-1, 1]
UPRIGHT = 0.3  # the least cosine between the body's axis and the vertical


def walk(environment: gymnasium.Env, gait: Gait, direction: float, seed: int, steps: int) -> tuple[float, float, float]:
    """Metres along the direction and to the side of it, and how upright the ant is in the end (1: fully)."""
    ant: Any = environment.unwrapped
    observation, _ = environment.reset(seed=seed)
    random = np.random.default_rng(seed)
    begun = ant.data.qpos[:2].copy()
    for step in range(steps):
        torques = gait.torques(observation, step * ant.dt, direction)
        noisy = np.clip(torques + NOISE * random.standard_normal(8), -1, 1)
        observation, *_ = environment.step(noisy.astype(np.float32))
    x, y = ant.data.qpos[:2] - begun
    cosine, sine = np.cos(direction), np.sin(direction)
    return x * cosine + y * sine, abs(y * cosine - x * sine), 1 - 2 * float(observation[2] ** 2 + observation[3] ** 2)


def search(environment: gymnasium.Env, generations: int, seed: int) -> Gait:
    def cost(values: np.ndarray) -> float:
        gait = Gait(*map(float, values))
        walks = [walk(environment, gait, direction, seed, 160) for seed, direction in enumerate(DIRECTIONS)]
        return -float(np.mean([ahead - aside / 2 if upright > UPRIGHT else -1.0 for ahead, aside, upright in walks]))

    def told(values: np.ndarray, convergence: float = 0.0) -> None:
        print(f"{-cost(values):.2f} m in 8 s", flush=True)

    bounds = [BOUNDS[field.name] for field in fields(Gait)]
    options = {"maxiter": generations, "popsize": 4, "init": "sobol", "polish": False, "callback": told}
    found = differential_evolution(cost, bounds, rng=seed, **options)
    return Gait(*map(float, found.x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("ant_gait.json"))
    options = parser.parse_args()
    environment = make_environment("Ant-v5", "the search")
    gait = search(environment, options.generations, options.seed)
    write_text(options.out, json.dumps(asdict(gait), indent=2) + "\n")
    for direction in np.linspace(0, 2 * np.pi, 8, endpoint=False):
        ahead, aside, upright = walk(environment, gait, direction, 9, 320)
        print(f"{np.rad2deg(direction):3.0f} degrees: {ahead:.1f} m ahead, {aside:.1f} m aside, upright {upright:.2f}")


if __name__ == "__main__":
    main()
