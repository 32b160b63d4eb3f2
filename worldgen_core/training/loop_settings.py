"""Settings of the training loop that every model shares: optimizer, schedule, averaging, checkpoints."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from worldgen_core.names import DeviceName, PrecisionName
from worldgen_core.neutral import NEUTRAL


class OptimizerSettings(BaseModel):
    """AdamW for everything, Muon for the matrices that a model names, if it names any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(default=2e-3, gt=0)
    """AdamW's peak learning rate."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Memory of the mean gradient."""
    beta2: float = Field(default=0.98, ge=0, lt=1)
    """Memory of the squared gradient; lower suits short trainings."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled decay, applied by AdamW to matrices only."""
    muon_rate: float = Field(default=0.02, ge=0)
    """Muon's peak learning rate; 0 means off: AdamW takes every weight."""
    muon_momentum: float = Field(default=0.95, ge=0, lt=1)
    """Memory of Muon's gradient."""


class LoopSettings(BaseModel):
    """How the loop steps; all counts are in optimizer steps, never in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    optimizer: OptimizerSettings = OptimizerSettings()
    """Which optimizer with which rates."""
    warmup_steps: int = Field(default=50, ge=0)
    """Steps over which the rate rises from 0."""
    final_rate_share: float = Field(default=0.02, ge=0, le=1)
    """Rate at the end of the cosine, as a share of the peak."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the whole gradient."""
    diverged_at: float = Field(default=1000.0, ge=0, json_schema_extra=NEUTRAL)
    """A loss so many times the median of those logged so far ends the training; 0 means off."""
    crept_at: float = Field(default=2.0, ge=0, json_schema_extra=NEUTRAL)
    """A loss that has crept up to so many times the best of its phase ends the training; 0 means off."""
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    """Memory of the weight average that gets published."""
    checkpoint_every: int = Field(default=250, ge=1, json_schema_extra=NEUTRAL)
    """Steps between checkpoints, the work that a kill may cost."""
    log_every: int = Field(default=20, ge=1)
    """Steps between rows of metrics.jsonl; a row holds the mean over these steps."""
    num_threads: int = Field(default=2, ge=1)
    """CPU threads; part of the result, since sums depend on their order."""
    device: DeviceName = "auto"
    """Where to train; a named device that is missing is an error."""
    precision: PrecisionName = "float32"
    """Of the products; sums, weights and the optimizer stay float32. `auto` takes bf16 where the device
    multiplies it fast: GPUs, and CPUs with AMX or AVX-512 BF16 (docs/decisions/0003). `float16` scales the
    loss and is for CUDA only."""
    accumulate: int = Field(default=1, ge=1)
    """Parts in which a process takes its rows of a batch, one after the other: less memory, same gradient
    but for rounding."""
    checkpoint_activations: bool = Field(default=False, json_schema_extra=NEUTRAL)
    """Compute activations inside blocks twice instead of keeping them: less memory, a third more time, same
    result."""
    compile: bool = False
    """Compile the network with torch.compile: a wait at the start of each phase, then faster steps."""
    num_processes: int = Field(default=1, ge=1)
    """Processes that share every batch, started by torchrun: GPUs, or groups of CPU cores (`num_threads`
    each). The batch stays as large as it is, so the result differs by rounding only."""
    num_machines: int = Field(default=1, ge=1, json_schema_extra=NEUTRAL)
    """Machines on which these processes run, as many on each; docs/decisions/0010 has the command."""
    meeting_point: str = Field(default="", json_schema_extra=NEUTRAL)
    """`HOST:PORT` of the first machine, where the processes of several find each other."""


def smoke_loop(*, checkpoint_every: int) -> LoopSettings:
    """For a few small steps, at which a second thread would wait longer than it works."""
    return LoopSettings(
        warmup_steps=5, checkpoint_every=checkpoint_every, log_every=5, ema_decay=0.9, num_threads=1
    )


def published_loop() -> LoopSettings:
    """DIAMOND's optimizer and schedule, for long trainings on a GPU."""
    return LoopSettings(
        optimizer=OptimizerSettings(rate=1e-4, beta2=0.999, weight_decay=1e-2, muon_rate=0.0),
        warmup_steps=100,
        clip_norm=10.0,
        ema_decay=0.999,
        checkpoint_every=5000,
        log_every=100,
        precision="auto",
    )
