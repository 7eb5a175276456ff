"""Fixtures of the tests about data."""

import pytest


@pytest.fixture
def toys():
    gymnasium = pytest.importorskip("gymnasium")
    from toy_environments import TOYS, packages

    registry = dict(gymnasium.registry)  # left as found: gymnasium_robotics makes Hopper-v2 one of its own
    gymnasium.registry.update(packages())
    for name, entry_point in TOYS.items():
        gymnasium.register(f"SeemrlTest/{name}", entry_point)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(registry)
    once = {name: made for name, made in packages().items() if name.startswith("Sepsis/")}
    gymnasium.registry.update(once)  # their package registers them at its first import alone
