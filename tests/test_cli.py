"""The command line: bad input one by one, help that comes at once, pipes that close."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from seemrl import cli
from seemrl.cli import Verb, main
from seemrl.files import write_json
from seemrl_process import EMBEDDED, seemrl

Arrays = dict[str, Any]
ROWS = 30


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "cache"))


def everything() -> dict[str, bytes | None]:
    """All files and directories here, but for MuJoCo's own log."""
    found = (path for path in Path().rglob("*") if path.name != "MUJOCO_LOG.TXT")
    return {str(path): path.read_bytes() if path.is_file() else None for path in found}


def refusal(capsys: Any, *arguments: object) -> str:
    """The one line that a command ends in, having written nothing."""
    before = everything()
    assert main(list(map(str, arguments))) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("seemrl: error: ")
    assert said.err.endswith("\n")
    assert said.err[:-1].isprintable()
    assert everything() == before
    return said.err[:-1].removeprefix("seemrl: error: ")


# Data


def transitions() -> Arrays:
    random = np.random.default_rng(0)
    return {
        "observations": random.normal(size=(ROWS, 11)).astype(np.float32),
        "actions": random.uniform(-1, 1, size=(ROWS, 3)).astype(np.float32),
        "rewards": random.normal(size=ROWS).astype(np.float32),
        "next_observations": random.normal(size=(ROWS, 11)).astype(np.float32),
        "terminals": np.arange(ROWS) == 20,
        "timeouts": np.arange(ROWS) == 10,
    }


def written(arrays: Arrays, **attributes: Any) -> None:
    with h5py.File("data.hdf5", "w") as file:
        for key, array in arrays.items():
            file[key] = array
        file.attrs.update(attributes)


def changed(key: str, change: Callable[[np.ndarray], Any]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {key: change(arrays[key])}


def without(key: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {name: array for name, array in arrays.items() if name != key}


def with_value(position: tuple[int, ...], value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[position] = value
        return array

    return change


BAD_ARRAYS: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "key missing": (without("rewards"), "rewards: key is missing (found: actions, next_observations, observations,"),
    "lengths differ": (changed("actions", lambda a: a[:-1]), "actions: 29 rows but observations has 30"),
    "wrong rank": (changed("observations", lambda a: a[:, :, None]), "observations: shape (30, 11, 1) where"),
    "rewards of rank 2": (changed("rewards", lambda a: np.stack([a, a], 1)), "rewards: shape (30, 2) where (rows,)"),
    "empty": (lambda arrays: {key: array[:0] for key, array in arrays.items()}, "observations: shape (0, 11) holds no"),
    "NaN": (changed("observations", with_value((7, 2), np.nan)), "observations: row 7, column 2 is nan"),
    "infinity": (changed("rewards", with_value((9,), np.inf)), "rewards: row 9 is inf"),
    "too large": (changed("rewards", lambda a: np.abs(a.astype(float)) * 1e300), "rewards: row 0 is inf"),
    "integers": (changed("actions", lambda a: a.astype(int)), "actions: 3 integers a row, where a discrete action is"),
    "text": (changed("rewards", lambda a: a.astype("S8")), "rewards: type |S8 where floats belong"),
    "flags of text": (changed("terminals", lambda a: a.astype("S5")), "terminals: type |S5 where booleans belong"),
    "flag of 2": (changed("terminals", lambda a: a + np.arange(ROWS)), "terminals: row 2 is 2, neither 0 nor 1"),
    "next of another size": (changed("next_observations", lambda a: a[:, 1:]), "next_observations: shape (30, 10) but"),
    "action outside": (
        changed("actions", with_value((4, 1), 1.5)),
        "actions: row 4, dimension 1 is 1.5, outside [-1, 1]",
    ),
}


@pytest.mark.parametrize("environment", ["none", "Hopper-v5"])
@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_cannot_be_trained_on_are_refused_by_file_key_and_row(capsys, name, environment):
    change, message = BAD_ARRAYS[name]
    written(change(transitions()))
    said = refusal(capsys, "train", "--data", "data.hdf5", "--out", "run", "--env", environment, "--steps", 2)
    assert said.startswith(f"data.hdf5: {message}")


def no_file() -> None:
    pass


def a_directory() -> None:
    Path("data.hdf5").mkdir()


def an_empty_file() -> None:
    Path("data.hdf5").touch()


def a_text() -> None:
    Path("data.hdf5").write_text("observations,actions\n1,2\n" * 100)


def half_a_file() -> None:
    written(transitions())
    os.truncate("data.hdf5", Path("data.hdf5").stat().st_size // 2)


def a_pickle() -> None:
    import pickle

    Path("data.hdf5").write_bytes(pickle.dumps(transitions()))


BAD_FILES = {
    no_file: "no such file",
    a_directory: "a directory",
    an_empty_file: "an empty file",
    a_text: "neither HDF5, npz, Parquet nor Arrow",
    half_a_file: "damaged or incomplete HDF5 file",
    a_pickle: "a pickle, which can run code when it is read",
}


@pytest.mark.parametrize("make", BAD_FILES, ids=lambda make: make.__name__)
def test_a_file_that_is_no_data_is_refused(capsys, make):
    make()
    said = refusal(capsys, "train", "--data", "data.hdf5", "--out", "run", "--steps", 2)
    assert said.startswith(f"data.hdf5: {BAD_FILES[make]}")


def test_a_file_name_with_line_breaks_and_colours_is_told_in_one_printable_line(capsys):
    said = refusal(capsys, "train", "--data", "a\nb\x1b[31m.hdf5", "--out", "run")
    assert said.startswith("a b?[31m.hdf5: no such file")


# Options

TRAIN = ("train", "--data", str(EMBEDDED), "--out", "run")

BAD_OPTIONS: dict[str, str] = {
    "--agent nope": "invalid choice 'nope' for argument '--agent'. Expected one of ('td3_bc',",
    "--critic-norm group": "invalid choice 'group' for argument '--critic-norm'. Expected one of ('none', 'layer',",
    "--critic-norm weight --critic-norm-placement post": (
        "--critic-norm-placement post: it must be pre with --critic-norm weight, which has a place of its own"
    ),
    "--critic-network simba --critic-norm rms": "--critic-norm rms: it must be none with --critic-network simba, which",
    "--actor-network bro --hidden-sizes 8 4": "--hidden-sizes (8, 4): it must be one width for each block of --actor",
    "--actor-norm unit-ball --actor-norm-layers 1": (
        "--actor-norm-layers (1,): it must be left out with --actor-norm unit-ball, which stands behind the last hidden"
    ),
    "--agent iql --critic-norm batch": "--critic-norm batch: it must be another one: the critic of iql takes (s, a)",
    "--frobnicate 3": "Unrecognized options: --frobnicate, 3",
    "extra": "Unrecognized options: extra",
    "--steps": "Missing value for argument '--steps'",
    "--steps many": "Error parsing --steps: invalid literal for int() with base 10: 'many'",
    "--steps 1.5": "Error parsing --steps: invalid literal for int()",
    "--discount high": "Error parsing --discount: could not convert string to float: 'high'",
    "--hidden-sizes 32 wide": "Error parsing --hidden-sizes: Could not find valid parse for arguments: ['32', 'wide']",
    "--steps 401": "--steps 401: it must be 0 or more, a multiple of --policy-frequency 2",
    "--critic-learning-rate -0.1": "--critic-learning-rate -0.1: it must be finite and above 0",
    "--discount 1.0": "--discount 1.0: it must be in [0, 1)",
    "--critic-norm layer --critic-norm-layers 2": "--critic-norm-layers (2,): it must be numbers from 0 to 1",
    "--seed -1": "--seed -1: it must be from 0 to 4294967295",
    "--hidden-sizes": "--hidden-sizes empty: it must be one size or more",
    "--env Nope-v0": "environment Nope-v0: Gymnasium cannot make it",
    "--env CartPole-v1": "environment CartPole-v1: its actions are Discrete(2), not a bounded box",
    "--env Pendulum-v1": f"{EMBEDDED}: observations have 11 numbers and actions 3, but Pendulum-v1 has (3,) and (1,)",
    "--env \x1b[31mred": "environment ?[31mred: Gymnasium cannot make it",
    "--resume": "run: no such run directory; leave --resume out to start one",
    "--out file/run": "file/run: cannot be written (Not a directory); choose another --out",
    "--out file": "file: exists already; choose another --out",
    "--out full": "full: exists already; choose another --out",
    "--out begun": "begun: exists already; add --resume to continue it, or choose another --out",
}


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_options_that_fit_no_run_are_refused(capsys, options):
    for directory in ("full", "begun"):
        Path(directory).mkdir()
    for file in ("file", "full/file"):
        Path(file).touch()
    write_json(Path("begun/config.json"), {})
    assert refusal(capsys, *TRAIN, *options.split(" ")).startswith(BAD_OPTIONS[options])


BAD_COMMANDS: dict[str, str] = {
    "frob": "unknown command 'frob'; the commands are demo, train, online, export, report, data info, data map, data",
    "--frob": "unknown command '--frob'; the commands are",
    "data frob": "unknown command 'data frob'; the commands are",
    "\x1b[31m": "unknown command '?[31m'; the commands are",
    "train": "--data: no data file given; name one: D4RL or d3rlpy HDF5, npz,",
    "train --resume": "--resume: which run? name its directory with --out",
    "train --resume --out": "--resume: which run? name its directory with --out",
    "train --resume --out missing": "missing: no such run directory",
    "train --resume --out empty": "empty: not a run directory, it has no config.json; check --out",
    "train --resume --out empty --steps many": "empty: not a run directory",
    "report": "no run to report on; name at least one run directory",
    "report missing": "missing: no such run directory",
    "report empty": "empty: not a run directory (it has no config.json)",
    "report --frob": "Unrecognized options: --frob; see: seemrl report --help",
    "data collect": "Missing from seemrl data collect: --out STR",
    "data collect --out": "Missing value for argument '--out'",
    "data collect --out empty": "empty: a directory",
    "reproduce frob": "unknown command 'reproduce frob'; the commands are",
    "reproduce contrast --data missing.hdf5": "missing.hdf5: no such file",
    "demo --steps many": "Error parsing --steps: invalid literal for int()",
}


@pytest.mark.parametrize("command", BAD_COMMANDS)
def test_commands_that_name_nothing_are_refused(capsys, command):
    Path("empty").mkdir()
    assert refusal(capsys, *command.split(" ")).startswith(BAD_COMMANDS[command])


# The same, in processes of their own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("frob",), "unknown command 'frob'"),
        (("train", "--frob"), "Unrecognized options: --frob; see: seemrl train --help"),
        (("train", "--data", "data.hdf5", "--out", "run"), "data.hdf5: rewards: row 3 is nan"),
        (
            ("train", "--data", EMBEDDED, "--out", "run", "--env", "Hopper-v2"),
            "environment Hopper-v2: Gymnasium cannot",
        ),
    ],
)
def test_a_process_ends_with_2_and_one_line_and_leaves_nothing(arguments, message, tmp_path):
    written(changed("rewards", with_value((3,), np.nan))(transitions()))
    before = everything()
    ended = seemrl(*arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"seemrl: error: {message}")
    assert ended.stderr.count("\n") == 1
    assert everything() == before


def test_what_is_not_installed_is_named_with_its_remedy(tmp_path):
    hidden = "import sys; sys.modules['jax'] = None; from seemrl.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", hidden, "train", "--data", str(EMBEDDED), "--out", "run"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("seemrl: error: training needs JAX")
    assert ended.stderr.endswith("pip install 'seemrl[train]'\n")
    assert everything() == {}


# Help at once

HEAVY = {"jax", "torch", "gymnasium", "equinox", "optax", "scipy", "h5py", "plotly", "safetensors"}


def loaded_after(script: str) -> set[str]:
    """The packages that a new process has loaded after these lines."""
    lines = f"import sys\ntry:\n    {script}\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in ended.stderr.split()}


@pytest.mark.parametrize(
    ("script", "forbidden"),
    [
        ("import seemrl", HEAVY | {"numpy", "tyro", "rich"}),
        ("from seemrl.cli import main; main(['--help'])", HEAVY | {"numpy", "tyro", "rich"}),
        ("from seemrl.cli import main; main(['--version'])", HEAVY | {"numpy", "tyro", "rich"}),
        ("from seemrl.cli import main; main(['frob'])", HEAVY | {"numpy", "tyro", "rich"}),
        ("from seemrl.cli import main; main(['train', '--help'])", HEAVY),
        ("from seemrl.cli import main; main(['online', '--help'])", HEAVY),
        ("from seemrl.cli import main; main(['report', '--help'])", HEAVY),
        ("from seemrl.cli import main; main(['data', 'collect', '--help'])", HEAVY),
        ("from seemrl.cli import main; main(['demo', '--help'])", HEAVY),
        ("from seemrl.cli import main; main(['watch', '--help'])", HEAVY),
        ("from seemrl.cli import main; main(['reproduce', 'contrast', '--help'])", HEAVY),
        ("import seemrl; seemrl.InputError, seemrl.__version__, dir(seemrl)", HEAVY),
        ("from seemrl import measure, forecast, load_d4rl, Batch", {"jax", "torch"}),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(script, forbidden):
    assert not loaded_after(script) & forbidden


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_lists_every_command(capsys, arguments):
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert all(f"seemrl {name}" in said for name in cli.VERBS)


@pytest.mark.parametrize("arguments", [["data"], ["data", "--help"], ["data", "-h"]])
def test_help_on_data_lists_what_can_be_done_with_it(capsys, arguments):
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "seemrl data collect" in said
    assert "seemrl train" not in said


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_command_explains_its_options(capsys, name):
    with pytest.raises(SystemExit) as caught:
        main([*name.split(), "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert f"usage: seemrl {name}" in said.out
    assert "(required)" in said.out or "(default: " in said.out


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"seemrl {version('seemrl')}\n"


# Ends that are nobody's mistake


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("train", "--help")])
def test_a_pipe_that_nobody_reads_is_no_error(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "seemrl", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    try:
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_an_interrupt_is_told_in_one_line(monkeypatch, capsys):
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.VERBS, "train", Verb("", interrupted))
    assert main(["train"]) == 130
    assert capsys.readouterr().err.startswith("seemrl: interrupted; what was written stays")


def test_an_error_of_our_own_is_not_dressed_up_as_the_users(monkeypatch):
    def broken(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(cli.VERBS, "train", Verb("", broken))
    with pytest.raises(ZeroDivisionError):
        main(["train"])
