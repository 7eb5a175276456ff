"""A data set of Minari that is not there is fetched by Minari's own client, from a remote that is a directory here."""

import json
import shutil
import sys
from pathlib import Path

import pytest

import seemrl
from seemrl.data import minari_downloading
from seemrl.data.minari_downloading import is_minari_id
from seemrl.errors import InputError, MissingPartError

TINY = Path(__file__).parent / "tiny/minari/hdf5/box-v0"
NAME = "D4RL/door/human-v2"


@pytest.fixture
def remote(monkeypatch, tmp_path):
    pytest.importorskip("minari")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "minari_remote") + ":" + ":".join(sys.path))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    monkeypatch.setenv("MINARI_REMOTE", f"directory://{tmp_path / 'remote'}")
    place = tmp_path / "remote" / NAME
    shutil.copytree(TINY, place)
    metadata = json.loads((place / "data/metadata.json").read_text())
    (place / "data/metadata.json").write_text(json.dumps(metadata | {"dataset_id": NAME}))
    for namespace in ("D4RL", "D4RL/door"):
        (tmp_path / "remote" / namespace / "namespace_metadata.json").write_text("{}")
    return tmp_path / "remote"


def test_an_id_that_is_not_in_the_store_is_downloaded_once_into_it(remote, monkeypatch, tmp_path, capfd):
    fetched = seemrl.load(NAME)
    assert fetched.fingerprint() == seemrl.load(TINY).fingerprint()
    told = capfd.readouterr()
    assert told.out == "", "results alone go to stdout"
    assert f"{NAME}: not in Minari's local store; downloading it" in told.err
    monkeypatch.setenv("MINARI_REMOTE", "broken://")
    assert seemrl.load(NAME).fingerprint() == fetched.fingerprint()
    import minari

    assert list(minari.list_local_datasets()) == [NAME]
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"D4RL"}, "no scratch is left"


@pytest.mark.parametrize(
    ("remote_name", "words"),
    [
        ("broken://", "Name or service not known.*check the id and the network"),
        (None, "the line went dead"),
    ],
)
def test_without_a_network_one_line_says_so_and_nothing_is_left(remote, monkeypatch, tmp_path, remote_name, words):
    (remote / "cut").touch()
    if remote_name:
        monkeypatch.setenv("MINARI_REMOTE", remote_name)
    with pytest.raises(InputError, match=words) as raised:
        seemrl.load(NAME)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(NAME)
    assert not list((tmp_path / "store").iterdir())


def test_an_id_that_nobody_has_is_refused(remote):
    with pytest.raises(InputError, match=r"D4RL/door/cloned-v2: .*Couldn't find any version"):
        seemrl.load("D4RL/door/cloned-v2")


def test_what_is_not_installed_is_named_with_the_line_that_installs_it(remote, monkeypatch):
    monkeypatch.setenv("MINARI_REMOTE", "absent://")
    with pytest.raises(MissingPartError, match=r"pip install 'seemrl\[minari\]'"):
        seemrl.load(NAME)
    monkeypatch.setattr(minari_downloading, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"needs minari, which is not installed.*'seemrl\[minari\]'"):
        seemrl.load(NAME)


@pytest.mark.parametrize(
    ("name", "is_id"),
    [
        (NAME, True),
        ("door-human-v2", True),
        ("D4RL/door/human", False),
        ("runs/x-v2.hdf5", False),
        ("/data/x-v2", False),
        ("../x-v2", False),
        ("D4RL/../x-v2", False),
        ("--help-v2", False),
    ],
)
def test_only_ids_are_taken_for_ids(name, is_id):
    assert is_minari_id(name) == is_id


def test_what_is_no_id_is_not_asked_for(remote, monkeypatch):
    monkeypatch.setattr(minari_downloading, "find_spec", lambda name: pytest.fail("asked for minari"))
    with pytest.raises(InputError, match="no such file"):
        seemrl.load("D4RL/door/human")
