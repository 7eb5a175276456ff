"""What every integration finds in its library's learner: all that `measure` has to know of a critic update."""

from dataclasses import dataclass
from typing import Any, Literal

from seemrl.instrument.batch import Batch
from seemrl.instrument.dynamics import Heads
from seemrl.instrument.measure import measure
from seemrl.instrument.points import Policy
from seemrl.instrument.reading import Reading
from seemrl.monitoring.monitor import Monitor
from seemrl.monitoring.randomness import own_randomness

ENTROPY = "the entropy bonus in the target: it moves the fixed point (td_error, flow), not the rate"
CONSERVATIVE = "the conservative term of the loss: the reading is of the TD part, which the term works against"


def huber(limit: float) -> str:
    """What is left out of a reading where the loss is a square within TD errors of a limit."""
    return f"the Huber loss beyond TD errors of {limit:g}, where steps are smaller than the rate says"


HUBER = huber(1)


@dataclass(frozen=True)
class Parts:
    """A critic update, taken apart.

    Attributes:
        critic: the live critic, its very parameters.
        policy: next observations -> actions, as the target uses it.
        discount: gamma.
        optimizer: the critic's torch optimizer.
        target_critic: what the targets are read from.
        target_rate: tau of target averaging; 1 for hard copies or a live target.
        target_period: critic updates per target update.
        loss_scale: 2 for the mean squared error of each head, 1 for half of it and for the Huber loss within 1.
        heads: how a target is made of the heads.
        left_out: what this library's loss has that a reading has not, in words for people; empty where there is
            nothing.
        trained: everything that training changes, which a rollback restores (see `Snapshots`); None for the critic,
            its target and its optimizer alone.
    """

    critic: Any
    policy: Policy | Literal["greedy"]
    discount: float
    optimizer: Any
    target_critic: Any
    target_rate: float = 1.0
    target_period: int = 1
    loss_scale: float = 2.0
    heads: Heads = "coupled"
    left_out: str = ""
    trained: Any = None

    def options(self) -> dict[str, Any]:
        """The keyword arguments that `seemrl.measure`, `seemrl.advise` and a monitor take."""
        return {
            "discount": self.discount,
            "optimizer": self.optimizer,
            "target_critic": self.target_critic,
            "target_rate": self.target_rate,
            "target_period": self.target_period,
            "loss_scale": self.loss_scale,
            "heads": self.heads,
        }

    def measure(self, batch: Batch, *, step: int = 0, **options: Any) -> Reading:
        """`seemrl.measure` of these parts, with the same noise at every reading and none of training's.

        Raises:
            InputError: as `seemrl.measure` does.
        """
        with own_randomness():
            return measure(self.critic, batch, self.policy, **(self.options() | options), step=step)

    def monitor(self, batch: Batch, **options: Any) -> Monitor:
        """A `seemrl.Monitor` of these parts; ``options`` go before those found here.

        Raises:
            InputError: as `seemrl.Monitor` does.
        """
        return Monitor(self.critic, batch, self.policy, **(self.options() | {"snapshots": self.trained} | options))
