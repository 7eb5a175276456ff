"""Collecting with a policy, in blocks that a killed process does not lose.

Every block begins with fresh episodes and generators seeded by the seed and the block's number, in an unbroken
collection as in a continued one: nothing of a simulator's state has to be saved for both to be the same, bit by bit.
"""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from seemrl.collecting.episodes import Arrays, joined, side_by_side
from seemrl.collecting.policies import Policy
from seemrl.data.mantissa import round_mantissa
from seemrl.files import write_atomically, write_json
from seemrl.training.evaluation import make_environment

ENVIRONMENTS = 8
"""Stepped side by side."""
BLOCK_STEPS = 10_000
"""Of each environment in a block; its last episode is cut short there, as a timeout."""


def roll_out(
    policy: Policy,
    transitions: int,
    seed: int,
    directory: Path,
    bits: int,
    progress: Callable[[int], object],
) -> Arrays:
    """Collect transitions, or the rest of them where a killed process has left blocks; removes nothing.

    Args:
        policy: who acts.
        transitions: rows of the data set.
        seed: of the environments and of what is random in the actions.
        directory: where blocks are kept; those of another collection in it are removed first.
        bits: mantissa bits that actions are rounded to before they are executed, observations when recorded.
        progress: called with the number of rows collected so far.

    Returns:
        Arrays of a data set, each environment's rows behind another's, every episode's last row flagged.
    """
    _prepare(directory, {"policy": policy.digest, "environment": policy.environment, "seed": seed, "bits": bits})
    rows_in_block = ENVIRONMENTS * BLOCK_STEPS
    blocks: list[Arrays] = []
    for number in range(math.ceil(transitions / rows_in_block)):
        before = number * rows_in_block
        rows = min(rows_in_block, transitions - before)
        path = directory / f"block_{number:06d}_{rows}.safetensors"
        if not path.exists():
            block = _block(policy, rows, [seed, number], bits, lambda done, before=before: progress(before + done))
            write_atomically(path, lambda place, block=block: safetensors.numpy.save_file(block, place))
        blocks.append(safetensors.numpy.load_file(path))
        progress(before + rows)
    return joined(blocks)


def _prepare(directory: Path, described: dict[str, Any]) -> None:
    """Make the directory of a collection, empty unless it is of this very one."""
    file = directory / "collection.json"
    if file.exists() and json.loads(file.read_text(encoding="utf-8")) == described:
        return
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    write_json(file, described)


def _block(policy: Policy, rows: int, seeds: list[int], bits: int, progress: Callable[[int], object]) -> Arrays:
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    sequence = np.random.SeedSequence(seeds)
    first_seed, noise_seed = map(int, sequence.generate_state(2))
    key = jax.random.key(noise_seed)
    count, name = min(ENVIRONMENTS, rows), policy.environment
    environments = SyncVectorEnv([lambda: make_environment(name)] * count, autoreset_mode=AutoresetMode.DISABLED)
    steps = math.ceil(rows / count)
    low, high = (np.asarray(bound, np.float32) for bound in (policy.box.low, policy.box.high))
    taken: list[tuple[np.ndarray, ...]] = []
    try:
        observations, _ = environments.reset(seed=[first_seed + number for number in range(count)])
        for step in range(steps):
            chosen = policy.act(observations.astype(np.float32), jax.random.fold_in(key, step))
            actions = np.clip(round_mantissa(chosen, bits), low, high)  # rounding may leave the box
            reached, rewards, terminals, timeouts, _ = environments.step(actions)
            taken.append(tuple(map(np.array, (observations, actions, rewards, reached, terminals, timeouts))))
            over = terminals | timeouts
            observations = environments.reset(options={"reset_mask": over})[0] if over.any() else reached
            observations = np.array(observations)  # the environments reuse their arrays
            progress(min(rows, (step + 1) * count))
    finally:
        environments.close()
    names = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
    columns = {name: np.concatenate(column) for name, column in zip(names, zip(*taken, strict=True), strict=True)}
    return _recorded(columns, count, steps, rows, bits)


def _recorded(columns: Arrays, count: int, steps: int, rows: int, bits: int) -> Arrays:
    """The block's rows, each environment's behind another's, rounded; where one ends, its episode is cut short."""
    columns["timeouts"][-count:] |= ~columns["terminals"][-count:]
    block = {name: column[:rows] for name, column in side_by_side(columns, count).items()}
    block["timeouts"][-1] |= not block["terminals"][-1]
    for name in ("observations", "next_observations", "rewards", "actions"):
        block[name] = block[name].astype(np.float32)
    for name in ("observations", "next_observations"):
        block[name] = round_mantissa(block[name], bits)
    return {name: np.ascontiguousarray(column) for name, column in block.items()}
