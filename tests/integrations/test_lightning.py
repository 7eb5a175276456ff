"""A monitor as Lightning's callback: the readings of `measure`, the same training, and resuming from a checkpoint."""

# pyright: reportMissingImports=false, reportOptionalMemberAccess=false, reportUntypedBaseClass=false
# pyright: reportArgumentType=false

import copy
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("lightning")

import lightning.pytorch as library
import numpy as np
import torch
from in_place import check_in_place
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import seemrl
from seemrl.files import read_json_lines
from seemrl.integrations.lightning import MonitorCallback

_PLACE = Path(__file__).parents[2] / "examples" / "lightning_td3_bc.py"
_SPECIFICATION = importlib.util.spec_from_file_location("lightning_td3_bc", _PLACE)
assert _SPECIFICATION is not None and _SPECIFICATION.loader is not None
example = importlib.util.module_from_spec(_SPECIFICATION)
_SPECIFICATION.loader.exec_module(example)

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:lightning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)
EAGER = {"rows": 16, "every": 5, "time_share": None, "target_period": 2}


def numbers(reading):
    return reading.to_dict() | {"seconds": 0}


def module(**settings):
    torch.manual_seed(0)
    return example.TD3BC(11, 3, **({"hidden": 16} | settings))


def trainer(*callbacks, directory=None, epochs=1, batches=20, **settings):
    return library.Trainer(
        **{
            "max_epochs": epochs,
            "limit_train_batches": batches,
            "accelerator": "cpu",
            "callbacks": list(callbacks),
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": directory,
        }
        | settings
    )


def loader(data=None):
    return DataLoader(example.transitions() if data is None else data, 32, shuffle=True)


def fitted(*callbacks, model=None, seed=1, **settings):
    made = module() if model is None else model
    torch.manual_seed(seed)
    trainer(*callbacks, **settings).fit(made, loader())
    return made


def test_readings_are_those_of_measure_and_training_is_the_same_bit_for_bit():
    watch = MonitorCallback(**EAGER)
    plain = fitted()
    stands = torch.get_rng_state()
    watched = fitted(watch)
    assert torch.equal(stands, torch.get_rng_state())
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), watched.parameters(), strict=True))
    assert [reading.step for reading in watch.monitor.history] == [5, 10, 15, 20]

    batch, data = watch.monitor.batch, example.transitions()
    chosen = np.random.default_rng(0).choice(len(data), 16, replace=False)
    assert np.array_equal(batch.observations, data.tensors[0][chosen].numpy())
    torch.manual_seed(0)
    by_hand = seemrl.measure(
        watched.critic,
        batch,
        lambda following: watched.target_actions(torch.as_tensor(following, dtype=torch.float32)),
        discount=0.99,
        optimizer=watch.parts.optimizer,
        target_critic=watched.critic_target,
        target_rate=0.005,
        target_period=2,
        step=20,
    )
    assert numbers(watch.monitor.history[-1]) == numbers(by_hand) and by_hand.rate is not None
    assert numbers(watch.parts.measure(batch, step=20)) == numbers(by_hand)
    assert not watch.parts.optimizer._optimizer_step_post_hooks  # left as it was


def test_a_training_resumed_from_a_checkpoint_counts_on_and_continues_its_log(tmp_path):
    def watch():
        return MonitorCallback(directory=tmp_path / "log", **EAGER)

    whole = MonitorCallback(**EAGER)
    fitted(whole, epochs=3, batches=10)
    saving = library.callbacks.ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    fitted(watch(), saving, epochs=2, batches=10, enable_checkpointing=True)
    assert [row["step"] for row in read_json_lines(tmp_path / "log" / "readings.jsonl")] == [5, 10, 15, 20]
    resumed = watch()
    going_on = trainer(resumed, epochs=3, batches=10)
    going_on.fit(module(), loader(), ckpt_path=tmp_path / "epoch=0.ckpt")
    assert [row["step"] for row in read_json_lines(tmp_path / "log" / "readings.jsonl")] == [5, 10, 15, 20, 25, 30]
    assert list(map(numbers, resumed.monitor.history[:2])) == list(map(numbers, whole.monitor.history[:2]))


RUNAWAY = {"target_rate": 1.0, "bc_weight": 0.0, "learning_rate": 3e-3}


def test_stop_ends_the_fit_with_the_forecast():
    watch = MonitorCallback(**(EAGER | {"rows": 32, "every": 10}), on_diverging="stop")
    with pytest.raises(seemrl.DivergingError) as alarm:
        fitted(watch, model=module(**RUNAWAY), batches=600)
    assert watch.monitor.verdict in ("diverging", "diverged")
    assert watch.monitor.history[-1].step == alarm.value.forecast.step < 600
    assert not watch.parts.optimizer._optimizer_step_post_hooks


class Then(library.Callback):
    def __init__(self, act):
        self.act = act

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.act([pl_module, *trainer.optimizers])


class RolledBackError(Exception):
    pass


def test_rollback_restores_the_module_and_its_optimizers():
    states = [None]
    watch = MonitorCallback(**(EAGER | {"rows": 32, "every": 10}), on_diverging="rollback")

    def keep(parts):
        states.append(copy.deepcopy([part.state_dict() for part in parts]))

    def compare(parts):
        if watch.monitor._rollbacks:
            raise RolledBackError(*(part.state_dict() for part in parts))

    with pytest.raises(RolledBackError) as end:
        fitted(Then(keep), watch, Then(compare), model=module(**RUNAWAY), batches=600)
    (rollback,) = watch.monitor._rollbacks
    assert 0 < rollback.restored_step < rollback.step == len(states) - 1
    torch.testing.assert_close(list(end.value.args), states[rollback.restored_step], rtol=0, atol=0)


class Named(Dataset):
    """Items by name, discrete actions among them."""

    def __len__(self):
        return 64

    def __getitem__(self, row):
        random = np.random.default_rng(row)
        names = ("observations", "next_observations")
        item = {name: random.normal(size=3).astype("f4") for name in names}
        return item | {"actions": random.integers(0, 4, 1), "rewards": np.float32(row), "terminals": False, "row": row}


class Discrete(library.LightningModule):
    """Q-learning with automatic optimization and names of its own."""

    def __init__(self):
        super().__init__()
        self.networks = torch.nn.ModuleDict({"q": torch.nn.Linear(3, 4)})
        self.save_hyperparameters({"gamma": 0.9})

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)

    def training_step(self, batch, batch_idx):
        values = self.networks["q"](batch["observations"]).gather(1, batch["actions"])[:, 0]
        with torch.no_grad():
            following = self.networks["q"](batch["next_observations"]).max(dim=1).values
        return ((values - batch["rewards"] - self.hparams["gamma"] * following) ** 2).mean()


def discrete(**options):
    given = {
        "critic": "networks.q",
        "policy": "greedy",
        "target_critic": None,
        "rows": 16,
        "every": 2,
        "time_share": None,
    }
    watch = MonitorCallback(**(given | options))
    torch.manual_seed(0)
    trainer(watch, accumulate_grad_batches=2, epochs=2).fit(Discrete(), DataLoader(Named(), 8))
    return watch


def test_parts_of_other_names_and_accumulated_gradients():
    watch = discrete(critic=lambda module: module.networks["q"])
    assert watch.monitor.batch.discrete and watch.parts.discount == 0.9
    assert [reading.step for reading in watch.monitor.history] == [2, 4, 6, 8]  # 2 epochs of 8 batches, 2 an update


@pytest.mark.parametrize(
    "options, said",
    [
        ({"critic": "q"}, "Discrete has no q; pass critic=, the name of an attribute of Discrete or a function of it"),
        ({"target_critic": "auto"}, "no target_critic or critic_target; .* or None where targets come from the live"),
        ({"policy": "target_actions"}, "Discrete has no target_actions; pass policy="),
        ({"discount": "beta"}, "Discrete has no beta; pass discount="),
        ({"critic": lambda module: torch.nn.Linear(3, 4)}, "none of the Trainer's 1 optimizers holds the critic's"),
    ],
)
def test_what_is_not_found_is_asked_for_in_one_line(options, said):
    with pytest.raises(seemrl.InputError, match=said) as refusal:
        discrete(**options)
    assert "\n" not in str(refusal.value)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(example.transitions())


@pytest.mark.parametrize(
    "data, said",
    [
        (Stream(), "no rows can be drawn from a DataLoader over a Stream; pass batch="),
        (
            TensorDataset(torch.zeros(4, 3)),
            "items of the training data have type tuple; give observations, actions, rew",
        ),
    ],
)
def test_rows_that_cannot_be_drawn_are_asked_for(data, said):
    with pytest.raises(seemrl.InputError, match=re.escape(said)):
        trainer(MonitorCallback(**EAGER)).fit(module(), DataLoader(data, 2))


def test_several_processes_are_refused():
    with pytest.raises(seemrl.InputError, match="in 2 processes is not supported; one is"):
        MonitorCallback().on_train_start(SimpleNamespace(world_size=2), None)


def test_a_batch_of_ones_own_and_the_trainers_loggers(tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    columns = [column[:12].numpy() for column in example.transitions().tensors]
    watch = MonitorCallback(batch=seemrl.Batch(*columns), **EAGER)
    fitted(watch, logger=CSVLogger(tmp_path, flush_logs_every_n_steps=1), directory=tmp_path)
    assert len(watch.monitor.batch) == 12
    (written,) = tmp_path.rglob("metrics.csv")
    assert "critic/normalized" in written.read_text().splitlines()[0]


def test_pytorch_lightning_is_served_alike(tmp_path):
    script = """
import sys
import pytorch_lightning
from seemrl.integrations.lightning import MonitorCallback
assert issubclass(MonitorCallback, pytorch_lightning.Callback) and "lightning.pytorch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_normalisers_in_place_are_the_modules_own_and_come_out_again():
    made, data = module(), example.transitions()
    inputs = [column[:16] for column in data.tensors[:2]]
    optimizers = made.configure_optimizers()
    made.configure_optimizers = lambda: optimizers  # kept, so that the normalisers' parameters are in it
    check_in_place(
        [made.critic],
        [optimizers[0]],
        [made.critic_target],
        lambda: made.critic(*inputs).detach(),
        lambda: fitted(model=made),
    )
