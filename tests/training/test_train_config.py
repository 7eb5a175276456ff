import dataclasses
import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from seemrl.agents.config import TD3BCConfig
from seemrl.errors import InputError
from seemrl.training.config import TrainConfig


def config(**settings: Any) -> TrainConfig:
    """A configuration from settings of the run and of its agent, in one list as on the command line."""
    own = {field.name for field in dataclasses.fields(TD3BCConfig)}
    hyperparameters = TD3BCConfig(**{key: settings.pop(key) for key in own & settings.keys()})
    return TrainConfig(hyperparameters=hyperparameters, **settings)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"steps": 0}, "--steps 0: it must be at least 1"),
    ({"steps": -2}, "--steps -2: it must be at least 1"),
    ({"steps": 401}, "--steps 401: it must be 0 or more, a multiple of --policy-frequency 2"),
    ({"steps": 400, "policy_frequency": 3}, "--steps 400: it must be 0 or more, a multiple of --policy-frequency 3"),
    ({"policy_frequency": 0}, "--policy-frequency 0: it must be at least 1"),
    ({"batch_size": 0}, "--batch-size 0: it must be at least 1"),
    ({"reading_rows": 0}, "--reading-rows 0: it must be at least 1"),
    ({"evaluation_episodes": 0}, "--evaluation-episodes 0: it must be at least 1"),
    ({"read_every": 3}, "--read-every 3: it must be 0 or more, a multiple of"),
    ({"evaluate_every": -2}, "--evaluate-every -2: it must be 0 or more, a multiple of"),
    ({"checkpoint_every": 5}, "--checkpoint-every 5: it must be 0 or more, a multiple of"),
    ({"seed": -1}, "--seed -1: it must be from 0 to 4294967295"),
    ({"data_percent": 0.0}, "--data-percent 0.0: it must be above 0 and at most 100"),
    ({"data_percent": 101.0}, "--data-percent 101.0: it must be above 0 and at most 100"),
    ({"data_percent": math.nan}, "--data-percent nan: it must be above 0 and at most 100"),
    ({"subset_seed": -1}, "--subset-seed -1: it must be from 0 to"),
    ({"subset_seed": 2**63}, "--subset-seed 9223372036854775808: it must be from 0 to"),
    ({"seed": 2**32}, "--seed 4294967296: it must be from 0 to 4294967295"),
    ({"hidden_sizes": ()}, "--hidden-sizes empty: it must be one size or more"),
    ({"hidden_sizes": (32, 0)}, "--hidden-sizes (32, 0): it must be 1 or more"),
    ({"critic_norm_layers": (2,)}, "--critic-norm-layers (2,): it must be numbers from 0 to 1"),
    ({"critic_norm_layers": (0, -1)}, "--critic-norm-layers (0, -1): it must be numbers from 0 to 1"),
    ({"discount": 1.0}, "--discount 1.0: it must be in [0, 1)"),
    ({"discount": -0.1}, "--discount -0.1: it must be in [0, 1)"),
    ({"discount": math.nan}, "--discount nan: it must be in [0, 1)"),
    ({"target_rate": 0.0}, "--target-rate 0.0: it must be in (0, 1]"),
    ({"target_rate": 1.1}, "--target-rate 1.1: it must be in (0, 1]"),
    ({"critic_learning_rate": -1e-3}, "--critic-learning-rate -0.001: it must be finite and above 0"),
    ({"actor_learning_rate": 0.0}, "--actor-learning-rate 0.0: it must be finite and above 0"),
    ({"critic_learning_rate": math.inf}, "--critic-learning-rate inf: it must be finite and above 0"),
    ({"critic_learning_rate": math.nan}, "--critic-learning-rate nan: it must be finite and above 0"),
    ({"policy_noise": -0.1}, "--policy-noise -0.1: it must be finite, 0 or more"),
    ({"noise_clip": math.inf}, "--noise-clip inf: it must be finite, 0 or more"),
    ({"q_weight": math.nan}, "--q-weight nan: it must be finite, 0 or more"),
    ({"bc_weight": -1.0}, "--bc-weight -1.0: it must be finite, 0 or more"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=[message.split(":")[0] for _, message in REFUSED])
def test_a_setting_no_run_can_have_is_named_with_its_value_and_what_fits(settings, message):
    with pytest.raises(InputError) as caught:
        config(**settings).check()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 2, "batch_size": 1, "reading_rows": 1, "evaluation_episodes": 1},
        {"steps": 3, "policy_frequency": 3},
        {"data_percent": 1e-3, "subset_of": "episodes", "subset_seed": 2**63 - 1},
        {"steps": 7, "policy_frequency": 1, "read_every": 3},
        {"seed": 2**32 - 1, "discount": 0.0, "target_rate": 1.0},
        {"policy_noise": 0.0, "noise_clip": 0.0, "q_weight": 0.0, "bc_weight": 0.0},
        {"hidden_sizes": (1,), "critic_norm": "layer", "critic_norm_layers": (0,)},
        {"critic_norm": "layer", "critic_norm_layers": ()},
    ],
    ids=str,
)
def test_settings_at_the_limits_are_accepted(settings):
    config(**settings).check()


@given(cycles=st.integers(1, 10**7), frequency=st.integers(1, 500))
def test_cadences_left_open_are_parts_of_the_run_or_100_updates_rounded_to_what_fits(cycles, frequency):
    settings = config(steps=cycles * frequency, policy_frequency=frequency).with_cadences()
    settings.check()
    for cadence, parts in ((settings.evaluate_every, 5), (settings.read_every, 20), (settings.checkpoint_every, 20)):
        wanted = max(settings.steps // parts, 100)
        assert wanted - frequency < cadence <= wanted or cadence == frequency > wanted


def test_cadences_that_are_given_stay():
    given_ones = config(read_every=2, evaluate_every=4, checkpoint_every=6)
    assert given_ones.with_cadences() == given_ones
