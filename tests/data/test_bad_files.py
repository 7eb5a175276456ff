"""Files nobody should send: each is refused in one line that names file, key, row and remedy, and none does harm."""

import atexit
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loading_process import Loader
from make_tiny import TINY
from malformed_cases import MALFORMED

import seemrl
from seemrl.data import sizes
from seemrl.errors import InputError

MOST_CHARACTERS = 420

FILES = sorted(
    str(path.relative_to(TINY))
    for path in TINY.rglob("*")
    if path.is_file() and path.name != "namespace_metadata.json" and "goal" not in str(path.parent)
)
"""Every tiny file; Minari's are loaded by their directory."""


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused_in_one_line(tmp_path, capfd, name):
    make, words = MALFORMED[name]
    path = tmp_path / "a.npz"
    make(path)
    with pytest.raises(InputError) as caught:
        seemrl.load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "; " in message.removeprefix(str(path))  # then what to do
    assert message.isprintable()
    assert len(message) < MOST_CHARACTERS + len(str(path))
    assert "unpickled" not in capfd.readouterr().out


def test_there_are_enough_of_them():
    assert len(MALFORMED) >= 60


def test_many_small_files_may_not_unpack_to_much_together(monkeypatch):
    monkeypatch.setattr(sizes, "ALWAYS_ALLOWED_BYTES", 0)
    monkeypatch.setattr(sizes, "ALLOWED_EXPANSION", 0.05)
    with pytest.raises(InputError, match=r"declares shape .*, in a file of \d+ bytes"):
        seemrl.load(TINY / "minari/arrow/box-v0")


# Random damage


@pytest.fixture(scope="module")
def loader():
    loader = Loader()
    atexit.register(loader.close)
    yield loader
    loader.close()


DAMAGE = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=0, max_size=5)
KEPT = st.one_of(st.just(1.0), st.floats(0, 1))


def damaged(data: bytes, changes: list[tuple[float, int]], kept: float) -> bytes:
    """Some bytes changed, and cut short."""
    spoilt = bytearray(data)
    for place, value in changes:
        spoilt[int(place * len(data))] = value
    return bytes(spoilt[: round(kept * len(data))])


def check(loader: Loader, directory: Path, name: str, changes: list[tuple[float, int]], kept: float) -> None:
    """Put a damaged copy in its place, load it, and put the sound one back."""
    source = TINY / name
    root = Path(*Path(name).parts[:3]) if name.startswith("minari/") else Path(name)
    for path in [TINY / root] if source == TINY / root else (TINY / root).rglob("*"):
        target = directory / path.relative_to(TINY)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (directory / name).write_bytes(damaged(source.read_bytes(), changes, kept))
    outcome = loader.outcome(directory / root)
    (directory / name).write_bytes(source.read_bytes())
    assert outcome.startswith(("rows ", "refused ")), outcome
    if outcome.startswith("refused "):
        assert outcome.isprintable()
        assert len(outcome) < MOST_CHARACTERS + 2 * len(str(directory / root))


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(name=st.sampled_from(FILES), changes=DAMAGE, kept=KEPT)
def test_random_damage_ends_in_data_or_in_one_line(tmp_path_factory, loader, name, changes, kept):
    """Within 20 seconds and 2 GB, in a process of its own: never a traceback, a crash or a hang."""
    check(loader, tmp_path_factory.getbasetemp() / "damaged", name, changes, kept)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), changes=DAMAGE, kept=KEPT)
def test_much_random_damage_ends_in_data_or_in_one_line(tmp_path_factory, loader, name, changes, kept):
    check(loader, tmp_path_factory.getbasetemp() / "much-damaged", name, changes, kept)
