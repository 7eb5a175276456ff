"""A directory with somebody else's networks and what was saved of them, where every test here runs."""

import sys
from typing import Any

import pytest
from saved_critics import save, trained, write_networks


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Any:
    """A directory with networks, checkpoints and what was saved in them."""
    directory = tmp_path_factory.mktemp("home")
    networks = write_networks(directory)
    parts = trained(networks)
    save(parts, directory)
    return directory, networks, parts


@pytest.fixture(autouse=True)
def in_it(home, monkeypatch):
    monkeypatch.chdir(home[0])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if name == "networks" or name.startswith("measured:"):
            del sys.modules[name]
