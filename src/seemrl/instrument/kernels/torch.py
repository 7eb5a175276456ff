"""Layer traces of a PyTorch critic, from per-sample gradients of any differentiable module."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from seemrl.errors import InputError
from seemrl.instrument.kernels.heads import head_first
from seemrl.instrument.kernels.layerwise import LayerTrace
from seemrl.instrument.optimizers import StepRule, read_torch

_BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d, torch.nn.SyncBatchNorm)
_DROPOUTS = (torch.nn.Dropout, torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d, torch.nn.AlphaDropout)


class TorchCritic:
    """A copy of a module in float64 on the CPU; the module itself is left as it was found.

    Args:
        module: called as module(observations, actions).

    Raises:
        InputError: it has no trainable parameter, or in train mode a BatchNorm, where samples interact and a
            per-sample gradient does not exist, or a Dropout, whose values differ from call to call.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        for name, part in module.named_modules():
            if isinstance(part, (*_BATCH_NORMS, *_DROPOUTS)) and part.training:
                why = "samples interact" if isinstance(part, _BATCH_NORMS) else "values are random"
                raise InputError(
                    f"critic: {name or 'it'} is a {type(part).__name__} in train mode, where {why} and no per-sample "
                    "gradient exists; call .eval() on the critic before the reading and .train() after it"
                )
        trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        if not trained:
            raise InputError("critic: it has no trainable parameter (requires_grad is False everywhere)")
        self._originals = [parameter for _, parameter in trained]
        self._module = copy.deepcopy(module).to(device="cpu", dtype=torch.float64).requires_grad_(False)
        parameters = dict(self._module.named_parameters())
        self._trained = {name: parameters[name].detach() for name, _ in trained}
        self.leaves = [value.numpy() for value in self._trained.values()]

    def __call__(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Values (heads, points)."""
        with torch.no_grad():
            return head_first(self._module(*_tensors(observations, actions)), len(observations), torch.cat).numpy()

    def traces(
        self, observations: np.ndarray, actions: np.ndarray, preconditioner: Sequence[np.ndarray] | None
    ) -> Iterator[LayerTrace]:
        """One trace per parameter: its per-sample gradients."""
        points = _tensors(observations, actions)
        for number, (name, value) in enumerate(self._trained.items()):
            gradients = self._gradients(name, value, *points)
            weight = None if preconditioner is None else (preconditioner[number], np.zeros(0))
            yield LayerTrace("gradients", np.zeros((len(observations), 0)), gradients, weight)

    def step_rule(self, optimizer: Any, learning_rate: float | None) -> StepRule | None:
        """What the torch optimizer and the learning rate say of the next step; None where neither is given."""
        if optimizer is None:
            return None if learning_rate is None else StepRule(learning_rate, None)
        return read_torch(optimizer, self._originals, learning_rate)

    def _gradients(
        self, name: str, value: torch.Tensor, observations: torch.Tensor, actions: torch.Tensor
    ) -> np.ndarray:
        def heads_at(parameter: torch.Tensor, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            output = torch.func.functional_call(self._module, {name: parameter}, (observation[None], action[None]))
            return head_first(output, 1, torch.cat)[:, 0]

        with torch.enable_grad():
            jacobian = torch.func.vmap(torch.func.jacrev(heads_at), in_dims=(None, 0, 0))(value, observations, actions)
        return jacobian.reshape(*jacobian.shape[:2], -1).transpose(0, 1).contiguous().numpy()


def _tensors(*arrays: np.ndarray) -> tuple[torch.Tensor, ...]:
    return tuple(torch.as_tensor(array, dtype=torch.float64) for array in arrays)
