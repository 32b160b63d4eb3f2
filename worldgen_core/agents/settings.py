"""Settings of the stages train_agent and capture."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from storage.records import DatasetFormat

DATASET_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
"""A name that is one folder: letters, digits, underscore, and after the first character also dot and dash."""

DatasetName = Annotated[str, Field(pattern=DATASET_NAME)]


class AgentSettings(BaseModel):
    """How the agent learns (PPO) and when it is good enough."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str
    """Name of the game, as in worldgen_core/games."""
    seed: int = Field(default=0, ge=0)
    """Weights, games and evaluation games derive from it by name."""
    num_threads: int = Field(default=1, ge=1, le=64)
    """Torch threads; the networks are too small to gain from more, and the bytes depend on it."""
    num_envs: int = Field(default=32, ge=1)
    """Games played side by side; more make each step cheaper and the policy older when it learns."""
    steps_per_rollout: int = Field(default=256, ge=1)
    """Steps of each game between two updates."""
    batch_size: int = Field(default=1024, ge=2)
    """Steps in one gradient step."""
    num_epochs: int = Field(default=8, ge=1)
    """Passes over each rollout."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Adam's rate at the start; it falls linearly over the budget, nearly to 0."""
    entropy_weight: float = Field(default=5e-3, ge=0)
    """Reward for indecision; raising it explores more."""
    discount: float = Field(default=0.99, gt=0, lt=1)
    """Worth of the next step's reward."""
    trace_decay: float = Field(default=0.98, ge=0, le=1)
    """GAE's lambda; a flap too many kills only half a second later, too far for 0.95 to see."""
    max_policy_change: float = Field(default=0.02, gt=0)
    """An update ends early when the policy has moved so far (mean KL divergence)."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of policy and value network."""
    budget_env_steps: int = Field(default=204_800, ge=1)
    """Training ends after so many steps at the latest."""
    evaluate_every: int = Field(default=8_192, ge=1)
    """Environment steps between two evaluations; rounded up to whole rollouts."""
    evaluation_episodes: int = Field(default=30, ge=1)
    """Games of one evaluation; always the same ones."""
    evaluation_length: int = Field(default=800, ge=2)
    """Frames to survive in each of them."""
    good_enough: int = Field(default=30, ge=0)
    """Survivors of an evaluation at which training ends early."""
    num_weaker: int = Field(default=4, ge=0)
    """Policies of lower skill that are kept, spread over the survived lengths, for diverse capture."""


class Mixture(BaseModel):
    """How often each player of worldgen_core/agents/players.py is handed the controls, on any scale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    best: float = Field(default=0.06, ge=0)
    """The best policy."""
    weaker: float = Field(default=0.14, ge=0)
    """Policies from earlier in training."""
    small_noise: float = Field(default=0.12, ge=0)
    """The best policy with a few random actions."""
    large_noise: float = Field(default=0.18, ge=0)
    """The best policy with many random actions."""
    rule: float = Field(default=0.14, ge=0)
    """The rule player with random margins."""
    holds: float = Field(default=0.22, ge=0)
    """Skilled play with spells of idling and mashing."""
    random: float = Field(default=0.40, ge=0)
    """Players that do not look; raising it shows more deaths and more unusual flights."""

    @model_validator(mode="after")
    def _somebody_plays(self) -> Mixture:
        if sum(self.model_dump().values()) <= 0:
            raise ValueError("at least one share must be positive")
        return self


class CaptureSettings(BaseModel):
    """How many episodes are recorded, and who plays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    game: str
    """Name of the game, as in worldgen_core/games."""
    dataset_name: DatasetName = "default"
    """Name of the dataset: letters, digits, dot, dash, underscore. Champions are kept by game and name."""
    mode: Literal["diverse", "strict"] = "diverse"
    """`diverse` mixes skill levels and exploration, several lives an episode; in `strict` mode the best agent
    plays alone, and only lives of the whole length count."""
    mixture: Mixture = Mixture()
    """Who plays in `diverse` mode."""
    blind_lives: float = Field(default=0.3, ge=0, le=1)
    """Share of the lives in `diverse` mode that a player who looks at nothing plays from start to death."""
    num_episodes: int = Field(default=80, ge=1, le=100_000)
    """Episodes of the dataset."""
    episode_length: int = Field(default=800, ge=2)
    """Frames of each episode."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Part of the episodes held out, as whole episodes."""
    seed: int = Field(default=0, ge=0)
    """Games and players derive from it by name."""
    round: int = Field(default=0, ge=0)
    """Capture round: the next one plays other games (nightly retraining counts it up)."""
    seed_limit: int = Field(default=20, ge=1)
    """`strict` gives up after so many games for each wanted episode."""
    shard_format: DatasetFormat = "parquet"
    """`npz` writes one plain NumPy file an episode instead."""


def agent_smoke(game: str) -> AgentSettings:
    """A few seconds; the agent learns to reach the first pipe."""
    return AgentSettings(
        game=game,
        num_envs=16,
        steps_per_rollout=128,
        batch_size=256,
        budget_env_steps=24_576,
        evaluate_every=8_192,
        evaluation_episodes=6,
        evaluation_length=200,
        good_enough=6,
        num_weaker=1,
    )


def agent_laptop(game: str) -> AgentSettings:
    """Under a minute on one core of a laptop; survives 800 frames in nearly every game."""
    return AgentSettings(game=game)


def agent_paper(game: str) -> AgentSettings:
    """Some minutes; judged by more and longer games."""
    return AgentSettings(
        game=game,
        budget_env_steps=2_000_000,
        evaluation_episodes=100,
        evaluation_length=1_600,
        good_enough=100,
        num_weaker=8,
    )


def capture_smoke(game: str) -> CaptureSettings:
    """Short episodes, few of them."""
    return CaptureSettings(
        game=game, dataset_name="smoke", num_episodes=8, episode_length=160, validation_share=0.25
    )


def capture_laptop(game: str) -> CaptureSettings:
    """64,000 frames: 36 minutes of play."""
    return CaptureSettings(game=game)


def capture_paper(game: str) -> CaptureSettings:
    """400,000 frames: nearly four hours of play."""
    return CaptureSettings(game=game, num_episodes=500)
