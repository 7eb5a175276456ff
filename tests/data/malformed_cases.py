"""Malformed files of every format: how each is made, and the words that refuse it."""

import pickle

import h5py
import numpy as np
from make_tiny import arrays
from malformed import (
    DEEP,
    HUGE,
    IMAGES,
    PAIR,
    ROWS,
    TEXT,
    WIDER,
    Code,
    Make,
    at,
    bomb,
    change,
    damaged_text_attribute,
    hdf5,
    header,
    members,
    minari,
    minari_arrow,
    minari_file,
    minari_hdf5,
    npy,
    npz,
    plain_header,
    put,
    raw,
    remove,
    row,
    set_field,
    store,
    table,
    truncated,
    without,
)

MALFORMED: dict[str, tuple[Make, str]] = {
    # Nothing that can be opened
    "a pickle": (raw(pickle.dumps(Code())), "a pickle, which can run code when it is read"),
    "a text": (raw(b"observations,actions\n1,2\n"), "neither HDF5, npz, Parquet nor Arrow; give D4RL"),
    "an empty file": (raw(b""), "an empty file; fetch or write it again"),
    "a missing file": (lambda path: None, "no such file"),
    "an empty directory": (lambda path: path.mkdir(), "a directory, and none of Minari's: it has no metadata.json"),
    "one array": (npy, "one NumPy array, not transitions; store all arrays in one file"),
    # npz
    "npz without terminals": (
        npz(without("terminals"), put("next", 0)),
        "terminals: key is missing (found: actions, next, next_observations",
    ),
    "npz with NaN": (npz(at("observations", (4, 1), np.nan)), "observations: row 4, column 1 is nan, not a finite"),
    "npz with an infinite reward": (npz(at("rewards", 7, np.inf)), "rewards: row 7 is inf"),
    "npz of other lengths": (npz(change("rewards", lambda a: a[:-1])), "rewards: 14 rows but observations has 15"),
    "npz of another rank": (npz(change("actions", lambda a: a[:, :, None])), "actions: shape (15, 2, 1) where"),
    "npz of texts": (npz(change("actions", lambda a: a.astype(str))), "actions: type <U"),
    "npz of complex numbers": (npz(change("rewards", lambda a: a + 1j)), "rewards: type complex64 where floats"),
    "npz with flags of 2": (npz(change("terminals", lambda a: a * 2)), "terminals: row 4 is 2, neither 0 nor 1"),
    "npz with a negative action": (npz(put("actions", np.arange(ROWS) - 3)), "actions: row 0 is -3; number discrete"),
    "npz with an absurd action": (npz(put("actions", np.full(ROWS, 2**40))), "actions: row 0 is 1099511627776"),
    "npz with pairs of actions": (npz(put("actions", np.ones((ROWS, 2), int))), "actions: 2 integers a row"),
    "npz with inexact integers": (
        npz(put("rewards", np.full(ROWS, 2**24 + 1))),
        "rewards: row 0 is 16777217, an integer",
    ),
    "npz without rows": (npz(*(change(key, lambda a: a[:0]) for key in arrays())), "holds no values"),
    "npz of objects": (npz(put("rewards", np.array([Code()] * ROWS))), "rewards: type object, whose values could run"),
    "npz of records": (npz(put("rewards", np.zeros(ROWS, "i4,f4"))), "rewards: type [('f0'"),
    "npz cut short": (truncated("plain.npz"), "damaged or incomplete npz file"),
    "npz of no array": (members(rewards=b"hello"), "rewards: not a NumPy array"),
    "npz with code in a header": (members(rewards=header("__import__('os').abort()")), "rewards: not a NumPy array"),
    "npz with a header too long": (members(rewards=header("(" * 20000)), "rewards: not a NumPy array"),
    "npz of version 3": (members(rewards=header(plain_header("(15,)"), (3, 0))), "rewards: npy version (3, 0)"),
    "npz that declares more": (members(rewards=header(plain_header("(2**40,)"))), "rewards: not a NumPy array"),
    "npz that declares too much": (
        members(rewards=header(plain_header("(1099511627776,)"))),
        "rewards: declares shape (1099511627776,) of float32, but",
    ),
    "npz with a negative shape": (members(rewards=header(plain_header("(-15,)"))), "rewards: declares shape (-15,)"),
    "npz that unpacks to 3 GiB": (
        members(rewards=set_field(24, 3 * 2**30, 4)),
        "rewards: declares shape (15,) of float32, but",
    ),
    "npz that agrees on 2 GiB": (bomb, "rewards: declares shape (536870912,), 2147483"),
    "npz of an unknown compression": (members(rewards=set_field(10, 99, 2)), "damaged or incomplete npz file"),
    "npz with a password": (members(rewards=set_field(8, 1, 2)), "damaged or incomplete npz file"),
    "npz with a wrong checksum": (
        members(rewards=set_field(16, 12345, 4)),
        "damaged or incomplete npz file (Bad CRC-32",
    ),
    # OGBench
    "OGBench without rewards": (npz(without("rewards"), without("masks"), of="ogbench.npz"), "rewards: key is missing"),
    "OGBench without masks": (
        npz(without("masks"), put("valids", np.ones(18)), of="ogbench.npz"),
        "masks: key is missing (found: actions",
    ),
    "OGBench with half a mask": (npz(at("masks", 5, 0.5), of="ogbench.npz"), "masks: row 5 is 0.5, neither 0 nor 1"),
    "OGBench with few masks": (
        npz(put("masks", np.ones(3)), of="ogbench.npz"),
        "masks: shape (3,) of float64 where (18,)",
    ),
    "OGBench of last states": (
        npz(put("terminals", np.ones(18)), of="ogbench.npz"),
        "terminals: no row is followed by",
    ),
    "OGBench cut short": (truncated("ogbench.npz"), "damaged or incomplete npz file"),
    # D4RL
    "D4RL without terminals": (hdf5("d4rl.hdf5", remove("terminals")), "terminals: key is missing (found: actions"),
    "D4RL linked elsewhere": (
        hdf5("d4rl.hdf5", store("rewards", h5py.ExternalLink("/etc/passwd", "x"))),
        "rewards: an HDF5 external link",
    ),
    "D4RL with a soft link": (
        hdf5("d4rl.hdf5", store("rewards", h5py.SoftLink("/actions"))),
        "rewards: an HDF5 soft link",
    ),
    "D4RL with a group": (
        hdf5("d4rl.hdf5", remove("rewards"), lambda file: file.create_group("rewards")),
        "rewards: an HDF5 group where",
    ),
    "D4RL with a terabyte": (
        hdf5(
            "d4rl.hdf5",
            *(remove(key) for key in arrays()),
            lambda file: [
                file.create_dataset(key, (2**40, *array.shape[1:]), array.dtype, chunks=(64, *array.shape[1:]))
                for key, array in arrays().items()
            ],
        ),
        "bytes, in a file of",
    ),
    "D4RL with a damaged text": (
        damaged_text_attribute,
        "attribute note: its text cannot be read; the file is damaged",
    ),
    "D4RL cut short": (truncated("d4rl.hdf5"), "damaged or incomplete HDF5 file"),
    # d3rlpy
    "d3rlpy without an end": (
        hdf5("d3rlpy.h5", remove("terminated_1")),
        "terminated_1: key is missing (found: actions_0",
    ),
    "d3rlpy without episodes": (
        hdf5("d3rlpy.h5", *(remove(f"rewards_{i}") for i in range(3))),
        "rewards_0: key is missing",
    ),
    "d3rlpy of other lengths": (
        hdf5("d3rlpy.h5", store("rewards_1", np.zeros((3, 1), "f4"))),
        "episode 1: rewards: 3 rows but observations has 4",
    ),
    "d3rlpy of other widths": (
        hdf5("d3rlpy.h5", store("actions_2", np.zeros((6, 3), "f4"))),
        "actions_2: shape (6, 3) but actions of the first",
    ),
    "d3rlpy with tuples": (
        hdf5("d3rlpy.h5", store("observations_0_0", np.zeros(5))),
        "observations_0_0: an observation of several arrays",
    ),
    "d3rlpy with many ends": (
        hdf5("d3rlpy.h5", store("terminated_0", np.zeros(5))),
        "terminated_0: shape (5,) of float64 where one flag",
    ),
    "d3rlpy with an end of 2": (hdf5("d3rlpy.h5", store("terminated_0", 2)), "terminals: row 0 is 2, neither 0 nor 1"),
    "d3rlpy linked elsewhere": (
        hdf5("d3rlpy.h5", store("actions_1", h5py.ExternalLink("x.h5", "y"))),
        "actions_1: an HDF5 external link",
    ),
    "d3rlpy 1 without rewards": (
        hdf5("d4rl.hdf5", remove("rewards"), store("episode_terminals", np.zeros(ROWS))),
        "rewards: key is missing",
    ),
    "d3rlpy cut short": (truncated("d3rlpy.h5"), "damaged or incomplete HDF5 file"),
    # Minari
    "Minari without JSON": (minari_file("metadata.json", b"{"), "not Minari's metadata (Expecting property name"),
    "Minari with a list": (minari_file("metadata.json", b"[1]"), "not Minari's metadata (no JSON object)"),
    "Minari nested too deep": (minari_file("metadata.json", b"[" * 100_000), "not Minari's metadata"),
    "Minari without a space": (minari(observation_space=None), "observation_space: key is missing; write the data set"),
    "Minari of images": (minari(observation_space=IMAGES), "observation_space: images, which are not supported"),
    "Minari of texts": (minari(observation_space=TEXT), "observation_space: a Text space, which holds no numbers"),
    "Minari of pairs": (minari(action_space=PAIR), "action_space: several discrete actions at once"),
    "Minari of a huge space": (minari(observation_space=HUGE), "observation_space: sizes (1099511627776,)"),
    "Minari of a deep space": (minari(observation_space=DEEP), "observation_space: "),
    "Minari of no space": (minari(observation_space="[3]"), "observation_space: not a space that Minari writes"),
    "Minari of another layout": (minari(data_format="csv"), "data_format: 'csv', where hdf5, arrow or parquet belongs"),
    "Minari of another shape": (
        minari(observation_space=WIDER),
        "episode_0/observations: shape (6, 4) where (6, 5) belongs",
    ),
    "Minari without the last state": (
        minari_hdf5(store("episode_1/observations", np.zeros((4, 4)))),
        "episode_1/observations: shape (4, 4) where (5, 4)",
    ),
    "Minari without rewards": (minari_hdf5(remove("episode_1/rewards")), "episode_1/rewards: key is missing"),
    "Minari without steps": (
        minari_hdf5(store("episode_1/rewards", np.zeros(0))),
        "episode_1/rewards: shape (0,) holds no",
    ),
    "Minari of text rewards": (
        minari_hdf5(store("episode_1/rewards", np.array([b"a"] * 4))),
        "episode_1/rewards: type |S1 where numbers belong",
    ),
    "Minari linked elsewhere": (
        minari_hdf5(store("episode_1", h5py.ExternalLink("x.h5", "y"))),
        "episode_1: an HDF5 external link",
    ),
    "Minari with NaN": (
        minari_hdf5(store("episode_1/rewards", np.array([0, np.nan, 0, 0]))),
        "rewards: row 6 is nan, not a finite",
    ),
    "Minari with a strange choice": (
        minari_hdf5(store("episode_0/actions", np.full(5, 2)), name="discrete"),
        "episode_0/actions: actions: row 0 is -1",
    ),
    "Minari with a flag of 2": (
        minari_hdf5(store("episode_2/terminations", np.full(6, 2))),
        "episode_2/terminations: terminals: row 0 is 2",
    ),
    "Minari with an array for an episode": (
        minari_hdf5(store("episode_1", np.zeros(3))),
        "episode_1: an array where an episode belongs",
    ),
    "Minari without episodes": (
        minari_hdf5(*(remove(f"episode_{i}") for i in range(3))),
        "no episode (found: none); give a data set",
    ),
    "Minari without its file": (minari_file("main_data.hdf5", None), "no such file; check the path"),
    "Minari with an empty file": (minari_file("main_data.hdf5", b""), "an empty file; fetch or write it again"),
    "Minari's Arrow cut short": (minari_file("1/part-0.arrow", b"ARROW1\0\0abc", "arrow"), "incomplete arrow file"),
    "Minari's Arrow without a file": (minari_file("1/part-0.arrow", None, "arrow"), "incomplete arrow file"),
    "Minari's Arrow without rewards": (minari_arrow(lambda t: t.drop(["rewards"])), "rewards: column is missing"),
    "Minari's Arrow with a null": (
        minari_arrow(lambda t: t.set_column(t.column_names.index("rewards"), "rewards", [[None, 1.0, 1.0, 1.0, 0.0]])),
        "rewards: 1 nulls",
    ),
    # Tables
    "a table without actions": (table(without("actions")), "actions: key is missing (found: observations, rewards"),
    "a table with a null": (table(row("rewards", 3, None)), "rewards: row 3 is null; fill or drop that row"),
    "a table with a null in a list": (table(row("actions", 2, [0.5, None])), "actions: row 2 lists a null"),
    "a table of ragged lists": (
        table(row("observations", 6, [1.0])),
        "observations: row 6 lists 1 numbers but row 0 lists 4",
    ),
    "a table of texts": (table(put("rewards", ["high"] * ROWS)), "rewards: type string where numbers or lists"),
    "a table of lists of texts": (
        table(put("actions", [["a"]] * ROWS)),
        "actions: lists of string where numbers belong",
    ),
    "a table with NaN": (table(row("rewards", 3, float("nan"))), "rewards: row 3 is nan, not a finite float32"),
    "a table of two names": (table(put("reward", [0.0] * ROWS)), "reward: rewards is there too; keep one of them"),
    "a table of both kinds": (table(put("action_0", [0.0] * ROWS)), "action_0: actions is there too; keep one of them"),
    "a table of other next columns": (
        table(
            without("observations"),
            without("next_observations"),
            put("observation_a", [0.0] * ROWS),
            put("next_observation_b", [0.0] * ROWS),
        ),
        "next_observations: other columns than the observations",
    ),
    "a table that returns": (
        table(put("episode", [1] * 5 + [2] * 5 + [1] * 5)),
        "episode: row 10 returns to an earlier episode; sort the rows",
    ),
    "a table of nameless episodes": (table(put("episode", [None] * ROWS)), "episode: 15 nulls; name the episode"),
    "a table without rows": (
        table(*(put(key, []) for key in arrays())),
        "observations: type null where numbers or lists of numbers belong",
    ),
    "a table with flags of 2": (table(put("terminals", [2] * ROWS)), "terminals: row 0 is 2, neither 0 nor 1"),
    "Parquet cut short": (truncated("table.parquet"), "damaged or incomplete Parquet file"),
    "Parquet of nothing": (raw(b"PAR1" + b"\0" * 40), "damaged or incomplete Parquet file"),
    "Arrow cut short": (truncated("table.arrow"), "damaged or incomplete Arrow file"),
    "an Arrow stream cut short": (truncated("stream.arrow", 0.3), "damaged or incomplete Arrow file"),
    "Arrow with a null": (table(row("rewards", 3, None), file="a.arrow"), "rewards: row 3 is null"),
}
"""By name: what makes it, and words of its refusal."""
