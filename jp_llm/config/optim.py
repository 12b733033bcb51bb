"""`optim`: AdamW and its schedule."""

from typing import Any

from pydantic import Field, PositiveFloat

from jp_llm.config.build import build
from jp_llm.config.section import Section
from jp_llm.runtime import plugin
from jp_llm.runtime.errors import UserError


class OptimConfig(Section):
    """AdamW (Loshchilov & Hutter 2019) with fp32 weights and moments."""

    learning_rate: PositiveFloat = 6e-4
    """Peak learning rate."""
    schedule: str = "cosine"
    """File of `jp_llm/optim/lr`: constant, linear, cosine or wsd."""
    schedule_options: dict[str, Any] = Field(default_factory=dict)
    """Fields of the schedule, e.g. {minimum: 0.1} for cosine, {decay_share: 0.2} for wsd."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of linear warm-up before the schedule."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the second moment."""
    eps: PositiveFloat = 1e-8
    """Added to the root of the second moment."""
    weight_decay: float = Field(default=0.1, ge=0)
    """On matrices except embeddings; never on norms and biases."""
    gradient_clipping: float = Field(default=1.0, ge=0)
    """Largest global gradient norm; 0 switches clipping off."""
    z_loss: float = Field(default=0.0, ge=0)
    """Coefficient of (log Z)^2 per token (PaLM, section 5: 1e-4); reported apart from the loss."""

    def problems(self) -> list[str]:
        package = "jp_llm.optim.lr"
        if self.schedule not in plugin.names(package):
            return [f"schedule: no schedule {self.schedule!r}{plugin.nearest(self.schedule, plugin.names(package))}"]
        try:
            build(plugin.load(package, self.schedule), self.schedule_options)
        except UserError as error:
            return [f"schedule_options.{problem}" for problem in error.problems]
        return []
