r"""The data set inside the package: 20,000 random-policy transitions of Hopper-v5, for demonstrations and tests.

Made with gymnasium 1.4.0 and mujoco 4.0.0 by exactly this command::

    seemrl data collect --environment Hopper-v5 --transitions 20000 --seed 0 --mantissa-bits 15 \
        --out src/seemrl/data/hopper-random.hdf5 --overwrite

It is a complete file in D4RL's layout, with ``next_observations``. Actions and observations carry 15 mantissa bits, a
relative error of at most 2**-16; the rounded actions are the ones that were executed, and rewards are exact.
"""

from dataclasses import replace
from importlib.resources import as_file, files

from seemrl.data.d4rl import load_d4rl
from seemrl.data.dataset import Dataset

SOURCE = "hopper-random (embedded)"


def load_embedded_hopper() -> Dataset:
    """The embedded Hopper-v5 transitions; needs neither Gymnasium nor MuJoCo.

    Returns:
        20,000 transitions: observations of size 11, actions of size 3 in [-1, 1], max|r| below 3.
    """
    with as_file(files("seemrl.data") / "hopper-random.hdf5") as path:
        return replace(load_d4rl(path), source=SOURCE)
