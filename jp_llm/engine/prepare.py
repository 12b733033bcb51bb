"""What must be done once in every process before DeepSpeed is used, and which DeepSpeed that must be."""

import os
import warnings
from datetime import timedelta
from unittest.mock import patch

import torch
import torch.distributed

from jp_llm.runtime.errors import UserError

CHECKED_VERSION = "0.19.8"


def prepare(device: torch.device, timeout: timedelta = timedelta(minutes=30)) -> None:
    """Set the environment that DeepSpeed reads when it is imported, and join the process group.

    Args:
        timeout: of every collective of the world.
    """
    if device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    # Names that DeepSpeed calls are deprecated in torch 2.13; there is nothing a user could do about it.
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed.c10d_logger")
    import deepspeed

    if deepspeed.__version__.partition("+")[0] != CHECKED_VERSION:  # behind the + stands how it was built
        raise UserError(
            f"DeepSpeed {deepspeed.__version__} is installed; the engine leans on private parts of it and was checked "
            f"with {CHECKED_VERSION}. pip install deepspeed=={CHECKED_VERSION}, or, to move on to another version, "
            "change CHECKED_VERSION in jp_llm/engine/prepare.py and run tests/jp_llm/engine"
        )
    from deepspeed.runtime import compiler
    from deepspeed.runtime.zero import partitioned_param_coordinator

    # Without this its start probes for compilers and may build an operator.
    deepspeed.ops.__compatible_ops__ = {}
    # Stage 3 compares the order of modules with process 0 of the world, which may hold other layers than this one, and
    # may be waiting for its hidden states. `_check` compares what must be equal, among those for whom it must be.
    assert hasattr(partitioned_param_coordinator, "assert_ints_same_as_other_ranks")
    partitioned_param_coordinator.assert_ints_same_as_other_ranks = lambda numbers: None
    # Every engine loads the optimizer Muon, which is not used here, and for its kernels the compiler of PyTorch: 580
    # modules and 1.5 seconds in each process.
    with patch.object(compiler, "compile", lambda: lambda kernel: kernel):
        import deepspeed.runtime.zero.muon.muon_optimizer
    if not torch.distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        deepspeed.init_distributed(dist_backend=backend, verbose=False, timeout=timeout)
