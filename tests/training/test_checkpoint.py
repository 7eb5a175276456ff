import json
import math
import shutil
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from small_runs import SMALL

from seemrl.agents.td3_bc import TD3BC
from seemrl.training import checkpoint
from seemrl.training.checkpoint import checkpoints, load_newest, save_checkpoint


class Killed(BaseException):
    pass


def agent(seed: int = 0) -> TD3BC:
    return TD3BC.create(SMALL.hyperparameters, 3, (-1.0, -2.0), (1.0, 2.0), seed)


def toy(value: float = 1, seed: int = 0) -> dict[str, Any]:
    """A small state with a leaf of every kind that a learner holds."""
    return {
        "weights": [jnp.full((2, 3), float(value)), jnp.asarray([math.nan, math.inf, -math.inf, -0.0, 1e-45])],
        "flag": jnp.asarray([True, False]),
        "step": jnp.asarray(7, jnp.int32),
        "half": jnp.asarray([value, 1 / 3], jnp.float16),
        "empty": jnp.zeros((0, 4)),
        "rate": jnp.asarray(0.1),
        "key": jax.random.key(seed),
        "name": "adam",
        "nothing": None,
    }


def bits(state: Any) -> list[tuple[str, tuple[int, ...], bytes]]:
    """Type, shape and bytes of every array; of a key, of what it is made."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if eqx.is_array(leaf)]
    raw = [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in leaves]
    return [(array.dtype.str, array.shape, array.tobytes()) for array in raw]


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def no_warning(line: str) -> None:
    pytest.fail(f"a warning was not expected: {line}")


def loaded(directory: Path, fresh: Any) -> tuple[Any, int]:
    found = load_newest(directory, fresh, no_warning)
    assert found is not None
    return found


# Round trip


@pytest.mark.parametrize("make", [toy, agent])
def test_every_leaf_comes_back_bit_by_bit(tmp_path, make):
    state = make(seed=3)
    save_checkpoint(tmp_path, state, 12)
    back, step = loaded(tmp_path, make(seed=4))
    assert step == 12
    assert bits(back) == bits(state)
    assert jax.tree.structure(back) == jax.tree.structure(state)


def test_the_random_key_comes_back_as_a_key_that_draws_the_same_numbers(tmp_path):
    save_checkpoint(tmp_path, agent(seed=3), 2)
    back, _ = loaded(tmp_path, agent(seed=4))
    assert _is_key(back.key)
    np.testing.assert_array_equal(jax.random.normal(back.key, (9,)), jax.random.normal(agent(seed=3).key, (9,)))
    assert bits(back.key) != bits(agent(seed=4).key)


def test_what_is_not_an_array_is_taken_from_the_fresh_state(tmp_path):
    save_checkpoint(tmp_path, toy(), 1)
    back, _ = loaded(tmp_path, toy() | {"name": "sgd"})
    assert (back["name"], back["nothing"]) == ("sgd", None)


def test_equal_states_give_equal_files_and_every_array_is_stored_under_its_path(tmp_path):
    files = [save_checkpoint(tmp_path / place, agent(), 2) / "state.safetensors" for place in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    names = safetensors.numpy.load(files[0].read_bytes()).keys()
    assert {"critic.heads[0].linears[0].weight", "target_actor.network.linears[2].bias", "key", "step"} <= names
    assert len(names) == len(bits(agent()))


# Which one is found


def test_without_a_checkpoint_nothing_is_found_and_nothing_said(tmp_path):
    assert load_newest(tmp_path / "missing", toy(), no_warning) is None


def test_only_the_newest_three_are_kept_and_the_newest_is_found(tmp_path):
    for step in (2, 4, 6, 100, 20):
        save_checkpoint(tmp_path, toy(step), step)
    assert [path.name for path in checkpoints(tmp_path)] == ["step_000000006", "step_000000020", "step_000000100"]
    back, step = loaded(tmp_path, toy())
    assert step == 100
    assert bits(back) == bits(toy(100))


def test_a_step_saved_again_replaces_what_was_there(tmp_path):
    save_checkpoint(tmp_path, toy(1), 2)
    save_checkpoint(tmp_path, toy(5), 2)
    assert bits(loaded(tmp_path, toy())[0]) == bits(toy(5))


def test_what_an_interrupted_write_left_is_passed_over_and_then_cleared_away(tmp_path):
    save_checkpoint(tmp_path, toy(1), 2)
    shutil.copytree(tmp_path / "step_000000002", tmp_path / ".step_000000004.tmp")
    (tmp_path / ".step_000000004.tmp" / "state.safetensors").write_bytes(b"half")
    (tmp_path / ".step_000000006.tmp").mkdir()
    assert loaded(tmp_path, toy())[1] == 2
    save_checkpoint(tmp_path, toy(2), 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_000000002", "step_000000004"]
    assert bits(loaded(tmp_path, toy())[0]) == bits(toy(2))


@pytest.mark.parametrize("occurrence", range(1, 17))
def test_a_kill_at_any_moment_of_a_save_leaves_the_old_state_or_the_new_one(tmp_path, monkeypatch, occurrence):
    """Dies just before the n-th call that touches the disk, while the checkpoint of a step is being replaced."""
    for step in (2, 4, 6):
        save_checkpoint(tmp_path, toy(step), step)
    calls = 0

    def dying(call: Any) -> Any:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == occurrence:
                raise Killed
            return call(*arguments, **keywords)

        return wrapped

    monkeypatch.setattr(checkpoint, "flush_to_disk", dying(checkpoint.flush_to_disk))
    monkeypatch.setattr(checkpoint, "write_text", dying(checkpoint.write_text))
    monkeypatch.setattr(shutil, "rmtree", dying(shutil.rmtree))
    for method in ("mkdir", "write_bytes", "rename"):
        monkeypatch.setattr(Path, method, dying(getattr(Path, method)))
    with pytest.raises(Killed):
        save_checkpoint(tmp_path, toy(60), 6)
        save_checkpoint(tmp_path, toy(80), 8)
    monkeypatch.undo()
    back, step = loaded(tmp_path, toy())
    assert bits(back) in [bits(toy(value)) for value in {4: (4,), 6: (6, 60), 8: (80,)}[step]]


# Damage


def cut_state(path: Path) -> None:
    file = path / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def cut_seal(path: Path) -> None:
    file = path / "checkpoint.json"
    file.write_bytes(file.read_bytes()[:20])


def empty_seal(path: Path) -> None:
    (path / "checkpoint.json").write_bytes(b"")


def foreign_seal(path: Path) -> None:
    (path / "checkpoint.json").write_text("[1, 2]")


def flip_state(path: Path) -> None:
    file = path / "state.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)


def flip_step(path: Path) -> None:
    """One bit of the step's last digit: 4 becomes 5."""
    file = path / "checkpoint.json"
    seal = json.loads(file.read_text())
    file.write_text(json.dumps(seal | {"step": seal["step"] ^ 1}))


def lose_state(path: Path) -> None:
    (path / "state.safetensors").unlink()


def lose_seal(path: Path) -> None:
    (path / "checkpoint.json").unlink()


def become_a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


DAMAGES = [
    cut_state,
    cut_seal,
    empty_seal,
    foreign_seal,
    flip_state,
    flip_step,
    lose_state,
    lose_seal,
    become_a_file,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_named_and_the_previous_one_taken(tmp_path, damage):
    for step in (2, 4):
        save_checkpoint(tmp_path, toy(step), step)
    damage(tmp_path / "step_000000004")
    warnings: list[str] = []
    found = load_newest(tmp_path, toy(), warnings.append)
    assert found is not None
    assert (found[1], bits(found[0])) == (2, bits(toy(2)))
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{tmp_path / 'step_000000004'}: checkpoint is damaged (")
    assert warnings[0].endswith("); falling back to the previous one")
    assert warnings[0].isprintable()


def test_where_all_are_damaged_each_is_named_and_the_beginning_is_next(tmp_path):
    for step, damage in zip((2, 4, 6), (cut_state, lose_seal, flip_state), strict=True):
        damage(save_checkpoint(tmp_path, toy(step), step))
    warnings: list[str] = []
    assert load_newest(tmp_path, toy(), warnings.append) is None
    assert [line.rsplit("falling back to ")[1] for line in warnings] == ["the previous one"] * 2 + ["the beginning"]


@pytest.mark.parametrize("position", range(0, 120, 7))
def test_no_flipped_byte_of_the_seal_brings_back_another_state(tmp_path, position):
    path = save_checkpoint(tmp_path, toy(4), 40)
    seal = bytearray((path / "checkpoint.json").read_bytes())
    seal[position % len(seal)] ^= 1
    (path / "checkpoint.json").write_bytes(seal)
    found = load_newest(tmp_path, toy(), lambda _: None)
    assert found is None or (found[1], bits(found[0])) == (40, bits(toy(4)))


@pytest.mark.parametrize(
    "fresh",
    [
        toy() | {"weights": [jnp.zeros((3, 2)), jnp.zeros(5)]},
        toy() | {"step": jnp.zeros(())},
        toy() | {"more": jnp.zeros(1)},
    ],
    ids=["shape", "type", "name"],
)
def test_a_state_of_another_structure_is_refused(tmp_path, fresh):
    save_checkpoint(tmp_path, toy(), 2)
    warnings: list[str] = []
    assert load_newest(tmp_path, fresh, warnings.append) is None
    assert len(warnings) == 1
