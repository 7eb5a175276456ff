"""Hyperparameters of the agents; imports nothing heavy, so that a command line can list them at once."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from seemrl.errors import require_option
from seemrl.networks.options import WITH_A_PLACE_OF_THEIR_OWN, Activation, Network, Norm, Placement

AgentName = Literal[
    "td3_bc",
    "iql",
    "cql",
    "rebrac",
    "awac",
    "bc",
    "diffusion_ql",
    "sfbc",
    "sac",
    "crossq",
    "edac",
    "msg",
    "td3",
    "dqn",
    "pqn",
]
OptimizerName = Literal["adam", "sgd"]
StepName = Literal["sgd", "momentum", "rmsprop", "adam"]


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """What every agent has: networks and the optimizer of its policy."""

    agent: ClassVar[AgentName]
    """Name of the algorithm, on the command line and in run directories."""
    discrete: ClassVar[bool] = False
    """Whether it chooses among numbered actions."""
    explores: ClassVar[bool] = False
    """Whether it can collect its own data."""
    bootstraps: ClassVar[bool] = False
    """Whether its critic learns from its own values of the policy's actions."""
    uses_next_actions: ClassVar[bool] = False
    """Whether it learns from the action taken at the next observation too."""
    joint_passes: ClassVar[bool] = False
    """Whether its critic takes (s, a) and (s', a') in one pass, which batch statistics need."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of each hidden layer, critic and actor alike."""
    optimizer: OptimizerName = "adam"
    """Optimizer of every network."""
    discount: float = 0.99
    """Discount factor gamma."""

    @property
    def updates_per_cycle(self) -> int:
        """Critic updates in one turn of everything the agent trains; runs stop at multiples of it."""
        return 1

    def check(self) -> None:
        """Refuse settings that no agent can have.

        Raises:
            InputError: names the option, its value and what fits.
        """
        self._sizes_fit("hidden_sizes")
        require_option(0 <= self.discount < 1, "discount", self.discount, "in [0, 1)")

    def sizes_of(self, of: str) -> tuple[int, ...]:
        """Units of each hidden layer of a network, which may have an option of its own for them."""
        return getattr(self, self._sizes_option(of))

    def _sizes_option(self, of: str) -> str:
        return next(name for name in (f"{of}_hidden_sizes", "hidden_sizes") if hasattr(self, name))

    def _sizes_fit(self, name: str) -> None:
        sizes = getattr(self, name)
        require_option(bool(sizes), name, "empty", "one size or more")
        require_option(all(size >= 1 for size in sizes), name, sizes, "1 or more")

    def _positive(self, *names: str) -> None:
        for name in names:
            require_option(0 < getattr(self, name) < math.inf, name, getattr(self, name), "finite and above 0")

    def _not_negative(self, *names: str) -> None:
        for name in names:
            require_option(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "finite, 0 or more")

    def _at_least_one(self, *names: str) -> None:
        for name in names:
            require_option(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")

    def _layout_fits(self, of: str) -> None:
        """Whether the normaliser of the actor or the critic can stand where it was asked for."""
        self._blocks_fit(of)
        norm, placement, layers = (getattr(self, f"{of}_{name}") for name in ("norm", "norm_placement", "norm_layers"))
        last = len(self.sizes_of(of)) - 1
        exist = layers is None or all(0 <= layer <= last for layer in layers)
        require_option(exist, f"{of}_norm_layers", layers, f"numbers from 0 to {last}")
        free = norm not in WITH_A_PLACE_OF_THEIR_OWN or placement == "pre"
        own = f"pre with --{of}-norm {norm}, which has a place of its own"
        require_option(free, f"{of}_norm_placement", placement, own)
        whole = norm != "unit-ball" or layers is None
        own = f"left out with --{of}-norm unit-ball, which stands behind the last hidden layer"
        require_option(whole, f"{of}_norm_layers", layers, own)

    def _blocks_fit(self, of: str) -> None:
        network, norm = getattr(self, f"{of}_network"), getattr(self, f"{of}_norm")
        if network != "mlp":
            wanted = f"none with --{of}-network {network}, which has LayerNorm of its own"
            require_option(norm == "none", f"{of}_norm", norm, wanted)
            wanted = f"one width for each block of --{of}-network {network}, all the same, such as 256 256"
            sizes = self.sizes_of(of)
            require_option(len(set(sizes)) == 1, self._sizes_option(of), sizes, wanted)


@dataclass(frozen=True, kw_only=True)
class ActorConfig(AgentConfig):
    """What agents with a policy network have."""

    actor_network: Network = "mlp"
    """Plain layers, or residual blocks with LayerNorm: one block for each of the hidden sizes."""
    actor_norm: Norm = "none"
    """Normaliser inside the actor; those of the critic, and "batch" with any agent."""
    actor_norm_placement: Placement = "pre"
    """Normalise before ("pre") or after ("post") the activation."""
    actor_norm_layers: tuple[int, ...] | None = None
    """Hidden layers of the actor that carry the normaliser, numbered from 0; None: all of them."""
    actor_activation: Activation = "relu"
    """Activation after each hidden layer of the actor."""
    actor_learning_rate: float = 3e-4
    """Step size of the actor."""

    @property
    def actor_layout(self) -> dict[str, Any]:
        """The actor's normalisers and activation, as `make_network` takes them."""
        return {
            "network": self.actor_network,
            "norm": self.actor_norm,
            "placement": self.actor_norm_placement,
            "norm_layers": self.actor_norm_layers,
            "activation": self.actor_activation,
        }

    def check(self) -> None:
        """Refuse settings that no actor can have."""
        super().check()
        self._layout_fits("actor")
        self._positive("actor_learning_rate")


@dataclass(frozen=True, kw_only=True)
class TargetlessCriticConfig(AgentConfig):
    """What agents with a critic have: its normalisers and its optimizer."""

    bootstraps: ClassVar[bool] = True

    critic_network: Network = "mlp"
    """Plain layers, or residual blocks with LayerNorm: one block for each of the hidden sizes."""
    critic_norm: Norm = "none"
    """Normaliser inside the critic: "layer" (LayerNorm) is the cure, "rms" is RMSNorm, "batch" is BatchNorm over (s, a)
    and (s', a') together; "weight", "spectral" and "sphere" normalise weights, "unit-ball" the features of the last
    layer."""
    critic_norm_placement: Placement = "pre"
    """Normalise before ("pre") or after ("post") the activation."""
    critic_norm_layers: tuple[int, ...] | None = None
    """Hidden layers that carry the normaliser, numbered from 0; None: all of them."""
    critic_activation: Activation = "relu"
    """Activation after each hidden layer of the critic."""
    critic_learning_rate: float = 3e-4
    """Step size of the critic."""

    @property
    def critic_layout(self) -> dict[str, Any]:
        """The critic's normalisers and activation, as `make_network` takes them."""
        return {
            "network": self.critic_network,
            "norm": self.critic_norm,
            "placement": self.critic_norm_placement,
            "norm_layers": self.critic_norm_layers,
            "activation": self.critic_activation,
        }

    @property
    def bare_critic(self) -> bool:
        """Whether no normaliser is in it."""
        return self.critic_norm == "none" and self.critic_network == "mlp"

    @property
    def homogeneous_depth(self) -> int | None:
        """Layers with weights of a ReLU critic without normalisers (theorems on growth apply to it), or None."""
        homogeneous = self.bare_critic and self.critic_activation == "relu"
        return len(self.sizes_of("critic")) + 1 if homogeneous else None

    def check(self) -> None:
        """Refuse settings that no critic can have."""
        super().check()
        self._layout_fits("critic")
        joint = self.critic_norm != "batch" or self.joint_passes
        wanted = f"another one: the critic of {self.agent} takes (s, a) and (s', a') apart, batch statistics need both"
        require_option(joint, "critic_norm", self.critic_norm, wanted)
        self._positive("critic_learning_rate")


@dataclass(frozen=True, kw_only=True)
class CriticConfig(TargetlessCriticConfig):
    """What agents have whose critic has a target network."""

    target_rate: float = 0.005
    """How far target networks move to the live ones at each move; 1: no averaging."""

    def check(self) -> None:
        """Refuse settings that no target network can have."""
        super().check()
        require_option(0 < self.target_rate <= 1, "target_rate", self.target_rate, "in (0, 1]; 1: no averaging")


@dataclass(frozen=True, kw_only=True)
class DelayedConfig(ActorConfig, CriticConfig):
    """What TD3 and its kin have: smoothed target actions, and an actor that is updated less often than the critic."""

    joint_passes: ClassVar[bool] = True

    policy_noise: float = 0.2
    """Standard deviation of the smoothing noise on target actions, in half-widths of the action box."""
    noise_clip: float = 0.5
    """The smoothing noise is clipped to this, in half-widths of the action box."""
    policy_frequency: int = 2
    """Critic updates per actor (and target) update."""

    @property
    def updates_per_cycle(self) -> int:
        """Critic updates per actor update."""
        return self.policy_frequency

    def check(self) -> None:
        """Refuse settings that TD3 cannot have."""
        super().check()
        self._at_least_one("policy_frequency")
        self._not_negative("policy_noise", "noise_clip")


@dataclass(frozen=True, kw_only=True)
class TD3BCConfig(DelayedConfig):
    """Hyperparameters of TD3+BC; the defaults are the published ones."""

    agent: ClassVar[AgentName] = "td3_bc"

    q_weight: float = 2.5
    """Weight of the value term, divided by mean |Q| (alpha in TD3+BC)."""
    bc_weight: float = 1.0
    """Weight of the behaviour-cloning term; 0: plain TD3."""

    def check(self) -> None:
        """Refuse settings that TD3+BC cannot have."""
        super().check()
        self._not_negative("q_weight", "bc_weight")


@dataclass(frozen=True)
class QLearningConfig:
    """Settings of Q-learning on fixed transitions; the defaults are the paper's toy maze."""

    hidden_sizes: tuple[int, ...] = (64,)
    """Units of each hidden layer; the critic has one weight layer more."""
    heads: int = 1
    """Critics, trained alike; the target takes the smallest."""
    critic_norm: Literal["none", "layer", "rms"] = "none"
    """Normaliser inside the critic."""
    optimizer: StepName = "sgd"
    """How a gradient becomes a step; "momentum" is SGD with coefficient 0.9."""
    learning_rate: float = 2e-3
    """Step size."""
    discount: float = 0.99
    """Discount factor gamma."""
    target_rate: float = 1.0
    """How far the target moves to the live critic after each update; 1: it is the live critic."""
    batch_size: int | None = None
    """Transitions of an update, drawn with replacement; None: all of them, every time."""
