"""Normalisers in somebody's network: where they go, that nothing else changes, and the way back."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch_styles import STYLES, ByHand, Residual, Sequential, Vectorized, make, values

import seemrl
from architectures import ACTION, INPUTS, OBSERVATION, Critic, mlp, plain_networks, shared_parameters
from seemrl import InputError, stabilize, unstabilize

ACTIVATED = [name for name, (_, _, apart) in STYLES.items() if apart]


@pytest.mark.parametrize("style", STYLES)
def test_the_output_of_every_hidden_layer_is_normalised_and_nothing_else_is_changed(style):
    kind, hidden, _ = STYLES[style]
    critic = make(kind)
    before = values(critic)
    found = stabilize(critic)
    assert torch.equal(values(critic), before)  # a copy was changed
    own, new = critic.state_dict(), found.state_dict()
    added = {f"{name}.normaliser.{part}" for name in hidden for part in ("weight", "bias")}
    assert new.keys() - own.keys() == added
    assert all(torch.equal(own[name], new[name]) for name in own)
    seen: dict[str, torch.Tensor] = {}
    for name in hidden:
        found.get_submodule(name).register_forward_hook(
            lambda _part, _given, output, name=name: seen.update({name: output})
        )
    values(found)
    for name in hidden:
        torch.testing.assert_close(seen[name].mean(-1), torch.zeros_like(seen[name].mean(-1)), atol=1e-5, rtol=0)
        assert (seen[name].var(-1, correction=0) < 1.0001).all() and (seen[name].var(-1, correction=0) > 0.9).all()


def test_before_and_after_the_activation_are_what_one_writes_by_hand():
    critic = make(ByHand)
    points = torch.randn(7, OBSERVATION), torch.randn(7, ACTION)
    inputs = torch.cat(points, 1)

    def norm(x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:])

    pre = critic.l3(F.relu(norm(critic.l2(F.relu(norm(critic.l1(inputs)))))))
    post = critic.l3(norm(F.relu(critic.l2(norm(F.relu(critic.l1(inputs)))))))
    root = critic.l3(F.relu(F.rms_norm(critic.l2(F.relu(critic.l1(inputs))), (6,))))
    torch.testing.assert_close(stabilize(critic)(*points)[0], pre)
    torch.testing.assert_close(stabilize(critic, placement="post")(*points)[0], post)
    torch.testing.assert_close(stabilize(critic, "rms", layers=["l2"])(*points)[0], root)


def test_heads_in_one_product_are_normalised_each_for_itself():
    critic = make(Vectorized)
    found = stabilize(critic)
    scale = found.get_parameter("critic.0.normaliser.weight")
    assert scale.shape == (3, 1, 8)
    before = values(found)
    with torch.no_grad():
        scale[1] *= 2
    changed = (values(found) != before).any(dim=1)
    assert changed.tolist() == [False, True, False]


@pytest.mark.parametrize("style", ACTIVATED)
def test_behind_the_activation_the_next_layers_take_normalised_inputs(style):
    kind, hidden, _ = STYLES[style]
    found = stabilize(make(kind), "layer", "post")
    taken: list[torch.Tensor] = []
    for part in found.modules():
        if "normaliser" in dict(part.named_children()):
            part.register_forward_pre_hook(lambda _part, given: taken.append(given[0]))
    values(found)
    assert len(taken) >= len(hidden)
    assert all(float(value.detach().mean(-1).abs().max()) < 1e-5 for value in taken)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("norm", ["layer", "rms", "unit-ball"])
def test_reversal_gives_the_identical_function_and_optimizer(style, norm):
    critic = make(STYLES[style][0])
    before, state = values(critic), copy.deepcopy(critic.state_dict())
    optimizer = torch.optim.Adam(critic.parameters())
    stabilize(critic, norm, in_place=True, optimizer=optimizer)
    assert not torch.equal(values(critic), before)
    unstabilize(critic, optimizer)
    assert torch.equal(values(critic), before)
    assert critic.state_dict().keys() == state.keys()
    assert [id(value) for value in optimizer.param_groups[0]["params"]] == [id(v) for v in critic.parameters()]


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop, torch.optim.AdamW])
def test_in_place_the_optimizer_goes_on_with_its_moments_and_the_new_parameters(optimizer):
    critic = make(Sequential)
    steps = optimizer([{"params": critic.q1.parameters(), "lr": 0.1}, {"params": critic.q2.parameters(), "lr": 0.0}])

    def train() -> None:
        steps.zero_grad()
        values(critic).square().mean().backward()
        steps.step()

    train()
    weight = critic.get_parameter("q1.0.weight")
    moments = {key: copy.deepcopy(value) for key, value in steps.state[weight].items()}
    assert stabilize(critic, in_place=True, optimizer=steps) is critic
    assert all(torch.equal(torch.as_tensor(steps.state[weight][key]), torch.as_tensor(moments[key])) for key in moments)
    before = {name: value.clone() for name, value in critic.named_parameters()}
    train()
    moved = {name for name, value in critic.named_parameters() if not torch.equal(value, before[name])}
    assert {"q1.0.normaliser.weight", "q1.2.normaliser.bias", "q1.0.weight"} <= moved  # the group's learning rate
    assert not any(name.startswith("q2") for name in moved)
    again = optimizer([{"params": critic.q1.parameters()}, {"params": critic.q2.parameters()}])
    again.load_state_dict(steps.state_dict())  # as from a checkpoint


def test_a_target_network_is_a_copy_and_follows_as_before():
    critic = stabilize(make(ByHand))
    target = copy.deepcopy(critic)
    with torch.no_grad():
        for value in critic.parameters():
            value.add_(0.1)
        for old, new in zip(target.parameters(), critic.parameters(), strict=True):
            old.lerp_(new, 1.0)
    assert torch.equal(values(target), values(critic))
    assert torch.equal(values(pickle.loads(pickle.dumps(critic))), values(critic))


def test_layers_are_chosen_by_name_or_by_number():
    def chosen(layers: object) -> list[str]:
        found = stabilize(make(Sequential), layers=layers)  # type: ignore[arg-type]
        return sorted({name.split(".normaliser")[0] for name in found.state_dict() if "normaliser" in name})

    assert chosen([0]) == ["q1.0", "q2.0"]
    assert chosen([1]) == ["q1.2", "q2.2"]
    assert chosen(["q2.0", 1]) == ["q1.2", "q2.0", "q2.2"]


def test_training_mode_and_random_numbers_stay_as_they_were():
    norm = nn.BatchNorm1d(6)
    critic = nn.Sequential(nn.Linear(4, 6), norm, nn.Dropout(0.5), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 1))
    random = torch.get_rng_state()
    found = stabilize(critic)
    assert torch.equal(torch.get_rng_state(), random)
    assert found.training and found.get_submodule("3.normaliser").training
    assert norm.running_mean is not None and torch.equal(norm.running_mean, torch.zeros(6))
    assert "0.normaliser.weight" not in found.state_dict()  # BatchNorm is there already


def test_the_instrument_reads_a_stabilised_critic_by_formulas_alone():
    random = np.random.default_rng(0)
    batch = seemrl.Batch(
        random.normal(size=(12, OBSERVATION)),
        random.normal(size=(12, ACTION)),
        random.normal(size=12),
        random.normal(size=(12, OBSERVATION)),
        np.zeros(12),
    )
    act = lambda s: np.tanh(s[:, :ACTION])  # noqa: E731
    assert seemrl.measure(stabilize(make(ByHand)), batch, act, discount=0.9).by_sample == ()
    assert seemrl.measure(stabilize(make(ByHand), placement="post"), batch, act, discount=0.9).by_sample == ()
    for norm in ("batch", "unit-ball"):
        assert seemrl.measure(stabilize(make(ByHand), norm).eval(), batch, act, discount=0.9).by_sample == ()


ARCHITECTURES = plain_networks() | shared_parameters()
RECOGNISED = (
    "four layers, SiLU",
    "as wide as there are points",
    "without biases",
    "in-place ReLU",
    "x @ weight + bias",
    "einsum",
    "subclass of Linear",
    "learned PReLU",
    "the same Linear twice",
    "two modules with one weight",
    "frozen layer",
)


@pytest.mark.parametrize("name", RECOGNISED)
def test_other_architectures_are_recognised(name):
    critic = ARCHITECTURES[name]()
    before = values(critic)
    found = stabilize(critic)
    own = {key: value for key, value in found.state_dict().items() if "normaliser" not in key}
    assert own.keys() == critic.state_dict().keys() and len(own) < len(found.state_dict())
    assert not torch.equal(values(found), before)
    assert torch.equal(values(unstabilize(found)), before)


class Unsaid(nn.Module):
    """Takes what no layer's shape tells."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1))

    def forward(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        image = observations.reshape(-1, 2, 7).mean(2)
        return self.layers(torch.cat([image, image * actions[:, :2], actions[:, 2:]], 1))


def test_an_example_takes_the_place_of_guessed_inputs():
    with pytest.raises(InputError, match=r"no inputs are found that Unsaid takes .*example=\(observations, actions\)"):
        stabilize(Unsaid())
    found = stabilize(Unsaid(), example=(np.zeros((2, 14)), np.zeros((2, 4))))
    assert "layers.0.normaliser.weight" in found.state_dict()
    with pytest.raises(InputError, match="Unsaid fails at the example"):
        stabilize(Unsaid(), example=(np.zeros((2, 3)), np.zeros((2, 4))))


def refused(critic: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        stabilize(critic, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_name_the_place_and_what_to_do():
    critic = make(Sequential)
    before = critic.state_dict().keys()
    assert "no hidden linear layer" in refused(nn.Linear(3, 1))
    assert "a function is no torch.nn.Module" in refused(lambda s, a: s)
    assert "norm 'group' is none of layer, rms, batch, unit-ball, weight, spectral" in refused(critic, norm="group")
    assert "norm 'sphere' projects weights after each update" in refused(critic, norm="sphere")
    assert "norm 'weight' has a place of its own" in refused(critic, norm="weight", placement="post")
    assert "norm 'unit-ball' stands at the output layers" in refused(critic, norm="unit-ball", layers=[0])
    tied = ARCHITECTURES["two modules with one weight"]()
    assert "is another layer's too, and norm 'weight' would part them" in refused(tied, norm="weight")
    assert "critic.0 is a stack of 3 heads" in refused(make(Vectorized), norm="batch")
    assert "norm 'spectral' is for torch.nn.Linear, and critic.0 is a" in refused(make(Vectorized), norm="spectral")
    assert "placement 'behind' is none of pre, post" in refused(critic, placement="behind")
    assert "'q3.0' is no hidden linear layer; they are q1.0, q1.2, q2.0, q2.2, or 0 to 1" in refused(
        critic, layers=["q3.0"]
    )
    assert "2 is no hidden linear layer" in refused(critic, layers=[2])
    assert "neither 'all' nor a list" in refused(critic, layers="q1.0")
    assert "in_place=True" in refused(critic, optimizer=torch.optim.SGD(critic.parameters(), 0.1))
    strange = torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)
    assert "owns none of the module's parameters" in refused(critic, in_place=True, optimizer=strange)
    assert critic.state_dict().keys() == before
    assert "stabilised already" in refused(stabilize(critic))
    assert "single feature" in refused(Critic(mlp(1, 1)))
    written_out = ARCHITECTURES["Linear that is never called"]()
    assert "layers.0.parts.0.weight takes part in a hidden layer" in refused(written_out)
    assert "between first and" in refused(make(Residual), placement="post")
    normed = nn.Sequential(nn.Linear(INPUTS, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 1))
    assert "every hidden layer is normalised already (0)" in refused(normed)
    assert "compiled already" in refused(torch.compile(make(ByHand)))


@pytest.mark.parametrize("norm", ["batch", "weight", "spectral"])
def test_parametrised_and_batch_norms_come_out_to_the_last_bit_with_the_optimizer(norm):
    critic = make(Sequential)
    before, state = values(critic), copy.deepcopy(critic.state_dict())
    optimizer = torch.optim.Adam(critic.parameters())
    stabilize(critic, norm, in_place=True, optimizer=optimizer)
    owned = {id(value) for value in optimizer.param_groups[0]["params"]}
    assert owned == {id(value) for value in critic.parameters()}
    unstabilize(critic, optimizer)
    assert torch.equal(values(critic), before)
    assert critic.state_dict().keys() == state.keys()
    owned = {id(value) for value in optimizer.param_groups[0]["params"]}
    assert owned == {id(value) for value in critic.parameters()}


def test_each_further_norm_is_what_one_writes_by_hand():
    critic = make(ByHand)
    points = torch.randn(7, OBSERVATION), torch.randn(7, ACTION)
    inputs = torch.cat(points, 1)

    def bent(matrix: torch.Tensor) -> torch.Tensor:
        return matrix / torch.linalg.matrix_norm(matrix, 2)

    first = F.relu(F.linear(inputs, bent(critic.l1.weight), critic.l1.bias))
    second = F.relu(F.linear(first, bent(critic.l2.weight), critic.l2.bias))
    found = stabilize(critic, "spectral")
    for _ in range(50):  # of the power method
        found(*points)
    torch.testing.assert_close(found.eval()(*points)[0], critic.l3(second), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stabilize(critic, "weight")(*points)[0], critic(*points)[0])
    hidden = F.relu(critic.l2(F.relu(critic.l1(inputs))))
    torch.testing.assert_close(stabilize(critic, "unit-ball")(*points)[0], critic.l3(F.normalize(hidden, dim=1)))
    hidden = F.relu(F.batch_norm(critic.l1(inputs), None, None, training=True))
    hidden = F.relu(F.batch_norm(critic.l2(hidden), None, None, training=True))
    torch.testing.assert_close(stabilize(critic, "batch")(*points)[0], critic.l3(hidden))


def test_a_trained_weight_norm_comes_out_as_the_weight_it_has_become_and_a_trained_spectral_norm_does_not():
    for norm in ("weight", "spectral"):
        critic = make(Sequential)
        optimizer = torch.optim.Adam(critic.parameters(), lr=0.1)
        stabilize(critic, norm, in_place=True, optimizer=optimizer)
        before = critic.eval()(torch.ones(1, OBSERVATION), torch.ones(1, ACTION))[0].detach()
        values(critic.train()).square().mean().backward()
        optimizer.step()
        critic.eval()
        after = values(critic)
        assert not torch.equal(critic(torch.ones(1, OBSERVATION), torch.ones(1, ACTION))[0], before)
        if norm == "weight":
            torch.testing.assert_close(values(unstabilize(critic, optimizer)), after)
            assert len(optimizer.param_groups[0]["params"]) == len(list(critic.parameters()))
            continue
        with pytest.raises(InputError, match=r"q1\.0\.weight has been trained"):
            unstabilize(critic, optimizer)


def test_a_trained_normaliser_does_not_come_out_again():
    with pytest.raises(InputError, match="no normalisers that stabilize put there"):
        unstabilize(make(ByHand))
    critic = stabilize(make(ByHand))
    with torch.no_grad():
        critic.get_parameter("l4.normaliser.bias").add_(1e-3)
    with pytest.raises(InputError, match=r"l4\.normaliser has been trained"):
        unstabilize(critic)
