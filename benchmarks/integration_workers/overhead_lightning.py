"""The module of examples/lightning_td3_bc.py in Lightning's Trainer, timed with its callback and without."""

# pyright: reportMissingImports=false, reportUntypedBaseClass=false

import logging
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch.utils.data import DataLoader, RandomSampler

from benchmarks.integration_workers.clock import Stopwatch, watched
from seemrl.integrations.lightning import MonitorCallback

_FILE = Path(__file__).parents[2] / "examples" / "lightning_td3_bc.py"
_SPEC = spec_from_file_location("lightning_td3_bc", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
example: Any = module_from_spec(_SPEC)
_SPEC.loader.exec_module(example)


class Clock(Callback):
    """Counts updates, and ends the training when the stopwatch is through."""

    def __init__(self) -> None:
        self.updates = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.updates += 1
        if self.updates == stopwatch.ahead:
            stopwatch.passed()
            self.updates = 0
            trainer.should_stop = not stopwatch.ahead


torch.set_num_threads(1)
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
seed_everything(0)
data = example.transitions()
module = example.TD3BC(data.tensors[0].shape[1], data.tensors[1].shape[1])
watch = MonitorCallback(every=1, target_period=2) if watched() else None
stopwatch = Stopwatch(lambda: None if watch is None else watch.monitor)
Trainer(
    max_epochs=1,
    accelerator="cpu",
    callbacks=[Clock()] if watch is None else [watch, Clock()],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
).fit(module, DataLoader(data, 256, sampler=RandomSampler(data, replacement=True, num_samples=256 * 10**6)))
