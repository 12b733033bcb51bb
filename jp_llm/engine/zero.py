"""One DeepSpeed engine around the module of one process. Only this file, `prepare.py` and `permission.py` know
DeepSpeed's insides.

Every pipeline stage has such an engine of its own. DeepSpeed expects one forward pass, one backward pass, and so on;
a pipeline has several micro-batches under way, and what that breaks is mended here (each place says how).

Checked with DeepSpeed 0.19.8. What is private to it and used here stands in `_BUCKETED`, `_PARTITIONED` and
`_OF_PARAMETERS`. `prepare` refuses another version, and `_check` compares at start-up what is there, and whether all
processes agree on what they are about to do together: an upgrade fails with words and not with wrong gradients.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, Literal

import torch
import torch.distributed
from torch import Tensor, nn

from jp_llm.config.memory import GATHERED_PARTS, REDUCE_BUCKET
from jp_llm.config.optim import OptimConfig
from jp_llm.config.parallel import ParallelConfig
from jp_llm.engine.permission import Allowed, asking, missing
from jp_llm.engine.prepare import CHECKED_VERSION
from jp_llm.parallel.agree import agree
from jp_llm.parallel.grid import Grid
from jp_llm.parallel.tensor import Placement

MOMENTS = ("exp_avg", "exp_avg_sq")

_BUCKETED = [
    "single_partition_of_fp32_groups",
    "parallel_partitioned_bit16_groups",
    "real_dp_process_group",
    "bit16_groups_flat",
    "nccl_start_alignment_factor",
    "allgather_bucket_size",
    "averaged_gradients",
    "clear_backward_seen_flag",
]
_PARTITIONED = [
    "fp32_partitioned_groups_flat",
    "fp16_groups",
    "grad_position",
    "get_param_id",
    "checkpoint_event_prologue",
    "checkpoint_event_epilogue",
    "_reassign_or_swap_out_partitioned_parameters",
    "grad_partitions_flat_buffer",
    "parameter_offload",
    "clear_backward_seen_flag",
]
_OF_PARAMETERS = ["ds_status", "ds_active_sub_modules", "ds_numel", "all_gather_coalesced"]

_PINNED = -1
"""Stands in `ds_active_sub_modules` for a module that never ends: DeepSpeed releases no parameter that is in use."""


@dataclass(frozen=True)
class Fragment:
    """A flat range of a module parameter, with the fp32 state of it that this process holds. Tensors are views."""

    parameter: str
    start: int
    stop: int
    state: dict[str, Tensor]
    """`weight`, `exp_avg` and `exp_avg_sq`, each [stop - start]."""


def construction(zero_stage: int, precision: str, grid: Grid) -> AbstractContextManager[Any]:
    """Context in which the module is built: under ZeRO-3 each parameter is divided as soon as it exists."""
    if zero_stage < 3:
        return nullcontext()
    import deepspeed

    # The dtype goes through the configuration: Init's own `dtype` argument is ignored where fp16 is not supported.
    config: dict[str, Any] = {"train_micro_batch_size_per_gpu": 1, "zero_optimization": {"stage": 3}}
    if precision == "bf16":
        config["bf16"] = {"enabled": True}
    return deepspeed.zero.Init(  # type: ignore[no-any-return]
        data_parallel_group=grid.data_group, config_dict_or_path=config, mem_efficient_linear=False
    )


HookState = dict[nn.Module, int]
"""What DeepSpeed counts per module between a forward pass and its backward pass."""


class ZeroEngine:
    """Trains `module`, whose forward returns one tensor, or a tuple with a differentiable scalar first.

    Gradients accumulate over any number of `backward` calls, of which several may be owed at a time; `step` reduces
    them over data parallel (a mean), clips by the norm over all processes, and updates fp32 weights.
    """

    def __init__(
        self,
        module: nn.Module,
        grid: Grid,
        placements: Mapping[str, Placement],
        *,
        parallel: ParallelConfig,
        precision: Literal["bf16", "fp32"],
        optim: OptimConfig,
        no_decay: set[str],
        micro_batch_size: int,
        block_parameters: int,
    ) -> None:
        """
        Args:
            placements: of every parameter of `module`, by name.
            no_decay: names of the module parameters that weight decay spares.
            block_parameters: size of the largest part that is gathered at once under stage 3.
        """
        import deepspeed

        # Stage 0 in bf16 would run a real optimizer step during set-up and accumulate in bf16; stage 1 is exact.
        self.zero_stage = 1 if parallel.zero_stage == 0 and precision == "bf16" else parallel.zero_stage
        self.precision = precision
        self.grid = grid
        self.clipping = optim.gradient_clipping
        self._offloads = parallel.offload_optimizer
        self._reduce_precision = parallel.reduce_precision
        self._placements = placements
        for name, parameter in module.named_parameters():
            # DeepSpeed's norm counts a parameter where this is set, and on tensor-parallel rank 0.
            parameter.tensor_model_parallel = placements[name].owned  # type: ignore[attr-defined]
        decay = [p for name, p in module.named_parameters() if name not in no_decay]
        spared = [p for name, p in module.named_parameters() if name in no_decay]
        optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": optim.weight_decay}, {"params": spared, "weight_decay": 0.0}],
            lr=optim.learning_rate,
            betas=(optim.beta1, optim.beta2),
            eps=optim.eps,
            fused=True,
        )
        self.settings = self._deepspeed_config(micro_batch_size, block_parameters)
        """What DeepSpeed was configured with."""
        # Set-up prints a page of memory readings, whatever the log level.
        with redirect_stdout(StringIO()):
            self.engine, self.optimizer, _, _ = deepspeed.initialize(
                model=module,
                optimizer=optimizer,
                config=self.settings,
                mpu=grid,
                dist_init_required=False,
            )
        self._torch_optimizer = optimizer if self.zero_stage == 0 else self.optimizer.optimizer
        if self.zero_stage == 0:
            self.engine.enable_backward_allreduce = False  # `_plain_step` reduces, and only once
        self._check()
        self._create_moments()
        # DeepSpeed learns from one forward and one backward pass in turn what to gather when. With several under way
        # it would learn and forget without end, and weights that stay need no order: its hook, which starts this at
        # every forward pass, goes.
        self._several_under_way = grid.layout.pipeline > 1
        self._stays_gathered = self.zero_stage == 3 and parallel.gather_policy == "per_step"
        if self.zero_stage == 3 and (self._several_under_way or self._stays_gathered):
            self.optimizer.parameter_offload.fwd_pre_hook.remove()
        self._gather_for_step()

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device(self.engine.device)

    def forward(self, *args: Any) -> Any:
        """Run the module."""
        return self.engine(*args)

    def hook_state(self) -> HookState:
        """To be taken after a forward pass and given to its backward pass, where others happen in between.

        Under stage 3 DeepSpeed counts in each module how many gradients are to come before its weights may go. The
        next forward pass resets that count; without it the weights of the whole stage would stay until the end.
        """
        if self.zero_stage < 3 or not self._several_under_way:
            return {}
        return {module: getattr(module, "ds_grads_remaining", 0) for module in self.engine.module.modules()}

    def backward(self, objective: Tensor, hooks: HookState | None = None) -> None:
        """Accumulate the gradients of `objective`."""
        if self.zero_stage > 0:
            # DeepSpeed does this at the start of a forward pass, and takes a backward pass without one in between for
            # a part of the last: under stage 3 its gradients would replace those that are there.
            self.optimizer.clear_backward_seen_flag()
        for module, count in (hooks or {}).items():
            module.ds_grads_remaining = count  # type: ignore[assignment]
        self.engine.backward(objective)

    def step(self, learning_rate: float, allowed: Allowed = lambda norm: True) -> tuple[float, bool]:
        """Reduce, clip and update; gradients are zero afterwards.

        Args:
            allowed: asked once, on every process, before anything is touched; all must answer alike.

        Returns:
            The global gradient norm before clipping (NaN if it is not finite), and whether the update was applied. What
            is not finite or not allowed leaves weights, moments and AdamW's count as they were, on every process.
        """
        for group in self._torch_optimizer.param_groups:
            group["lr"] = learning_rate
        if self.zero_stage == 0:
            return self._plain_step(allowed)
        with asking(self.optimizer, allowed) as norms:
            self.engine.step()
        applied = bool(self.engine.was_step_applied())
        if self._offloads and self.zero_stage < 3 and not applied:
            # They would stay, and the next gradients be added to them.
            for group in self.optimizer.averaged_gradients:
                self.optimizer.averaged_gradients[group] = None
        if self.zero_stage == 3:
            # Stage 3 takes the first backward pass of a step as the first for every parameter, and replaces gradients
            # by it; but a pass through one chunk brings those of that chunk alone.
            self.optimizer.grad_partitions_flat_buffer.zero_()
            self._gather_for_step()
        (norm,) = norms
        return norm, applied

    @contextmanager
    def whole(self, parameter: Tensor) -> Iterator[Tensor]:
        """The values of a parameter of the module, [its shape]; every process of the data axis calls this together."""
        if self.zero_stage < 3 or self._stays_gathered:
            yield parameter.detach()
            return
        import deepspeed

        with deepspeed.zero.GatheredParameters([parameter]):
            yield parameter.detach()

    def _gather_for_step(self) -> None:
        """Under `gather: per_step`, fetch all weights in one go and let DeepSpeed think that they are in use."""
        if not self._stays_gathered:
            return
        from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

        parameters = [p for p in self.engine.module.parameters() if p.ds_status == ZeroParamStatus.NOT_AVAILABLE]
        if parameters:
            parameters[0].all_gather_coalesced(parameters).wait()
        for parameter in self.engine.module.parameters():
            parameter.ds_active_sub_modules.add(_PINNED)

    def _plain_step(self, allowed: Allowed) -> tuple[float, bool]:
        # DeepSpeed reports no norm and applies a NaN at stage 0, so reduction and clipping are done here.
        if self.grid.layout.data > 1:
            self.engine.buffered_allreduce_fallback()
        named = self.engine.module.named_parameters()
        gradients = [p.grad for name, p in named if p.grad is not None and self._placements[name].owned]
        squares = torch.nn.utils.get_total_norm(gradients).square().reshape(1)
        torch.distributed.all_reduce(squares, group=self.grid.model_group)
        # Data-parallel ranks must clip alike to the last bit, and each has the sum of a communicator of its own.
        torch.distributed.broadcast(squares, self.grid.first_of_data, group=self.grid.data_group)
        norm = squares.sqrt()[0]
        found = float(norm) if torch.isfinite(norm) else float("nan")
        applied = allowed(found) and found == found
        if applied:
            if self.clipping > 0:
                torch.nn.utils.clip_grads_with_norm_(self.engine.module.parameters(), self.clipping, norm)
            self.engine.step()
        self.engine.zero_grad()
        return found, applied

    def fragments(self) -> Iterator[Fragment]:
        """The fp32 state that this process holds. Under stages 1 to 3 no two processes hold the same range."""
        find = {0: self._whole, 1: self._mapped, 2: self._mapped, 3: self._partitioned}[self.zero_stage]
        for name, parameter in self.engine.module.named_parameters():
            found = find(parameter)
            if found is None:
                continue
            start, weight, key, offset = found
            state = {"weight": weight}
            for moment in MOMENTS:
                whole = self._torch_optimizer.state[key][moment]
                state[moment] = whole.view(-1).narrow(0, offset, weight.numel())
            yield Fragment(name, start, start + weight.numel(), state)

    def publish_weights(self) -> None:
        """Carry changed fp32 weights over to the weights that the module computes with."""
        if self.zero_stage == 3:
            self.optimizer.checkpoint_event_prologue()
            for index in range(len(self.optimizer.fp16_groups)):
                self.optimizer._reassign_or_swap_out_partitioned_parameters(index)
            self.optimizer.checkpoint_event_epilogue()
            self._gather_for_step()
        elif hasattr(self.optimizer, "update_lp_params"):
            self.optimizer.update_lp_params()
        elif self.zero_stage > 0:
            self._publish_bucketed()

    @property
    def applied_updates(self) -> int:
        """Updates that were applied so far, as AdamW counts them for its bias correction."""
        state = next(iter(self._torch_optimizer.state.values()))
        return int(state["step"])

    @applied_updates.setter
    def applied_updates(self, value: int) -> None:
        for state in self._torch_optimizer.state.values():
            state["step"].fill_(value)

    def _deepspeed_config(self, micro_batch_size: int, block_parameters: int) -> dict[str, Any]:
        zero: dict[str, Any] = {
            "stage": self.zero_stage,
            "overlap_comm": self.zero_stage == 3 and torch.cuda.is_available(),
            "reduce_bucket_size": REDUCE_BUCKET,
            # One flat tensor per parameter group, so that every process has the same number of groups.
            "sub_group_size": 10**12,
        }
        if self._offloads:
            zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
        if self.zero_stage == 2:
            zero["use_multi_rank_bucket_allreduce"] = False
        if self.zero_stage == 3:
            # The defaults keep up to 1e9 parameters gathered, which is most models whole, and small ones for ever,
            # which would be all of a small model.
            zero["stage3_param_persistence_threshold"] = min(10**5, block_parameters // 100)
            zero["stage3_max_reuse_distance"] = 0
            zero["stage3_max_live_parameters"] = GATHERED_PARTS * block_parameters
            zero["stage3_prefetch_bucket_size"] = block_parameters
        config: dict[str, Any] = {
            "train_micro_batch_size_per_gpu": micro_batch_size,
            # The loop owns accumulation: every `step` is a boundary.
            "gradient_accumulation_steps": 1,
            "managed_gradient_accumulation": False,
            "gradient_clipping": 0.0 if self.zero_stage == 0 else self.clipping,
            "zero_optimization": zero,
            "zero_allow_untested_optimizer": False,
            "zero_force_ds_cpu_optimizer": False,
            "timers": {"throughput": {"enabled": False}},
            "steps_per_print": 10**12,
        }
        if self.precision == "bf16":
            config["bf16"] = {"enabled": True}
            config["data_types"] = {"grad_accum_dtype": "fp32"}
            config["communication_data_type"] = self._reduce_precision
        return config

    def _flat_masters(self) -> list[Tensor]:
        """The fp32 tensors that AdamW steps."""
        if self.zero_stage == 3:
            return list(self.optimizer.fp32_partitioned_groups_flat)
        return [parameter for group in self._torch_optimizer.param_groups for parameter in group["params"]]

    def _create_moments(self) -> None:
        """AdamW would create its state in the first step; fragments and a resumed run need it before."""
        for master in self._flat_masters():
            self._torch_optimizer.state[master] = {
                "step": torch.zeros((), dtype=torch.float32, device=master.device),
                **{moment: torch.zeros_like(master) for moment in MOMENTS},
            }

    def _whole(self, parameter: Any) -> tuple[int, Tensor, Any, int]:
        return 0, parameter.data.view(-1), parameter, 0

    def _mapped(self, parameter: Any) -> tuple[int, Tensor, Any, int] | None:
        mapping = parameter._hp_mapping
        if mapping is None:
            return None
        flat = self._torch_optimizer.param_groups[mapping.param_group_index]["params"][0]
        address = mapping.hp_fragment_address
        return mapping.lp_fragment_address.start, mapping.hp_fragment.data.view(-1), flat, address.start

    def _partitioned(self, parameter: Any) -> tuple[int, Tensor, Any, int] | None:
        group, offset, capacity = self.optimizer.grad_position[self.optimizer.get_param_id(parameter)]
        start = min(capacity * self.grid.data_rank, parameter.ds_numel)
        size = min(start + capacity, parameter.ds_numel) - start
        if size == 0:
            return None
        flat = self.optimizer.fp32_partitioned_groups_flat[group]
        return start, flat.data.narrow(0, offset, size), flat, offset

    def _publish_bucketed(self) -> None:
        from deepspeed.runtime.utils import all_gather_dp_groups

        zero = self.optimizer
        for index, master in enumerate(zero.single_partition_of_fp32_groups):
            own = torch.distributed.get_rank(group=zero.real_dp_process_group[index])
            zero.parallel_partitioned_bit16_groups[index][own].data.copy_(master.data)
        all_gather_dp_groups(
            groups_flat=zero.bit16_groups_flat,
            partitioned_param_groups=zero.parallel_partitioned_bit16_groups,
            dp_process_group=zero.real_dp_process_group,
            start_alignment_factor=zero.nccl_start_alignment_factor,
            allgather_bucket_size=zero.allgather_bucket_size,
        )

    def _check(self) -> None:
        import deepspeed

        parameters = dict(self.engine.module.named_parameters())
        bf16_stage_1 = self.precision == "bf16" and self.zero_stage == 1 and not self._offloads
        needed = {0: [], 1: ["update_lp_params"] if bf16_stage_1 else _BUCKETED, 2: _BUCKETED, 3: _PARTITIONED}
        found = [name for name in needed[self.zero_stage] if not hasattr(self.optimizer, name)]
        of_parameters = {0: [], 1: ["_hp_mapping"], 2: ["_hp_mapping"], 3: _OF_PARAMETERS}[self.zero_stage]
        found += missing(self.optimizer) if self.zero_stage > 0 else []
        found += [name for name in of_parameters if not all(hasattr(p, name) for p in parameters.values())]
        if self.zero_stage == 3 and not hasattr(self.optimizer.parameter_offload, "fwd_pre_hook"):
            found.append("parameter_offload.fwd_pre_hook")
        if found or (bf16_stage_1 and type(self.optimizer).__name__ != "BF16_Optimizer"):
            raise RuntimeError(
                f"DeepSpeed {deepspeed.__version__} differs from what this engine was checked with: "
                f"{type(self.optimizer).__name__} lacks {found}; reinstall deepspeed=={CHECKED_VERSION}"
            )
        if self.zero_stage > 0 and any(master.dtype != torch.float32 for master in self._flat_masters()):
            raise RuntimeError("DeepSpeed did not keep fp32 weights although it was configured to")
        # Each of these differences would make processes wait for each other, or add what does not belong together.
        agree("parameter groups", len(self._torch_optimizer.param_groups), self.grid.model_group)
        shapes = [(name, getattr(p, "ds_numel", p.numel())) for name, p in parameters.items()]
        agree("parameters", shapes, self.grid.data_group)
