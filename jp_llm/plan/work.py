"""What one device computes of one micro-batch, in seconds: blocks and head.

Three kinds of work. Matrix products take their FLOPs / what products reach; attention likewise with a share of its own;
all else (norms, activations, residuals, softmax of the loss) takes the bytes that it reads and writes / what the memory
reaches. This is the roofline of Williams et al. 2009, with one ceiling per kind of kernel.
"""

from dataclasses import dataclass
from functools import lru_cache

from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.memory import element_bytes
from jp_llm.config.model import ModelConfig

BLOCK_KERNELS = 25
"""Kernels of one block's forward pass in eager PyTorch; its backward pass has about twice as many."""

LARGEST_TAIL = 0.5
"""Of the time of a product, lost to a last wave of tiles that is not full; smaller products are split otherwise."""

LOGIT_BYTES = 20
"""Read and written per logit beside the products: softmax and its sums in fp32, gradient, and its bf16 copy."""


@dataclass(frozen=True)
class Passes:
    """Seconds of one micro-batch on one device."""

    forward: float
    backward: float

    @property
    def both(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Device:
    """What a device reaches with one precision."""

    matmul_flops: float
    """Per second, of large products."""
    attention_flops: float
    """Per second."""
    memory_bytes: float
    """Per second, read and written."""
    wave_outputs: float
    launch: float
    """Seconds per kernel."""
    element: int
    """Bytes of one activation."""

    @classmethod
    def of(cls, cluster: ClusterConfig, precision: str) -> "Device":
        """The device of a cluster."""
        peak = 1e12 * (cluster.peak_tflops if precision == "bf16" else cluster.fp32_tflops)
        return cls(
            matmul_flops=peak * cluster.matmul_efficiency,
            attention_flops=peak * cluster.attention_efficiency,
            memory_bytes=1e9 * cluster.memory_gb_per_second * cluster.memory_efficiency,
            wave_outputs=cluster.wave_outputs,
            launch=1e-6 * cluster.launch_microseconds,
            element=element_bytes(precision),
        )

    def product(self, rows: float, columns: float, inner: float) -> float:
        """Seconds of [rows, inner] x [inner, columns].

        A device works on a wave of tiles at a time, and of the last wave half is lost on average (Narayanan et al.
        2021, section 5.1; NVIDIA, "Matrix multiplication background", wave quantization).
        """
        tail = min(0.5 * self.wave_outputs / (rows * columns), LARGEST_TAIL)
        return 2 * rows * columns * inner * (1 + tail) / self.matmul_flops

    def linear(self, tokens: int, size_out: float, size_in: float) -> Passes:
        """A linear layer: its output, then the gradients of its input and of its weight."""
        return Passes(
            self.product(tokens, size_out, size_in),
            self.product(tokens, size_in, size_out) + self.product(size_out, size_in, tokens),
        )


def matrices(model: ModelConfig, tensor: int) -> tuple[tuple[int, int], ...]:
    """(out, in) of the products of one block on one tensor rank; q, k, v are one product, gate and up another."""
    head, hidden = model.head_dim, model.hidden_size
    queries, keys = model.num_attention_heads // tensor, max(model.key_value_heads // tensor, 1)
    inner = model.mlp_size // tensor
    up = 2 * inner if model.spec.mlp == "swiglu" else inner
    return ((queries + 2 * keys) * head, hidden), (hidden, queries * head), (up, hidden), (hidden, inner)


def elementwise_bytes(model: ModelConfig, element: int) -> int:
    """Read and written per token by the elementwise kernels of one block's forward pass, over all tensor ranks.

    A norm reads and writes the residual stream, an addition reads two and writes one; rotation reads and writes queries
    and keys; GELU reads and writes the inner dimensions, silu(gate) * up reads three and writes two of them.
    """
    norms = 1 if model.spec.residual == "parallel_one_norm" else 2
    per_hidden = norms * 2 + 2 * 3
    heads = model.num_attention_heads + model.key_value_heads
    rotated = 2 * heads * model.head_dim * (bool(model.rotary_dim) + model.qk_norm)
    inner = (5 if model.spec.mlp == "swiglu" else 2) * model.mlp_size
    return element * (per_hidden * model.hidden_size + rotated + inner)


@lru_cache(maxsize=1024)
def block(model: ModelConfig, device: Device, tensor: int, sequences: int, seq_length: int) -> Passes:
    """One block of one micro-batch on one tensor rank, collectives not counted.

    Attention: 2 T heads head_dim FLOPs per token forward, twice that backward (half of the scores are masked; what its
    backward pass recomputes is part of its efficiency). With a document mask no score is skipped.
    """
    tokens = sequences * seq_length
    products = [device.linear(tokens, *shape) for shape in matrices(model, tensor)]
    scores = 2 * tokens * seq_length * model.num_attention_heads * model.head_dim / tensor
    attention = scores * (2 if model.document_mask else 1) / device.attention_flops
    elementwise = tokens * elementwise_bytes(model, device.element) / tensor / device.memory_bytes
    forward = sum(product.forward for product in products) + attention + elementwise
    backward = sum(product.backward for product in products) + 2 * (attention + elementwise)
    launches = BLOCK_KERNELS * device.launch
    return Passes(max(forward, launches), max(backward, 2 * launches))


@lru_cache(maxsize=1024)
def head(model: ModelConfig, device: Device, tensor: int, sequences: int, seq_length: int, chunk_tokens: int) -> float:
    """Loss and all its gradients of one micro-batch, computed in its forward pass (`jp_llm.model.loss`)."""
    tokens, rows = sequences * seq_length, model.padded_vocab_size // tensor
    chunk = min(chunk_tokens, tokens)
    chunks = tokens / chunk
    products = device.linear(chunk, rows, model.hidden_size).both
    # The fp32 gradient of the weight is read and written by every chunk.
    moved = LOGIT_BYTES * chunk * rows + 8 * rows * model.hidden_size
    return chunks * (products + moved / device.memory_bytes)
