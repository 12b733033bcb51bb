"""The batches of one data-parallel rank, step by step, read ahead by a thread.

Shape suffixes: B sequences of a micro-batch, T tokens of a sequence.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor

from jp_llm.config.data import IGNORED
from jp_llm.data.dataset import Dataset


@dataclass(frozen=True)
class Microbatch:
    """What one forward and backward pass of a process takes; all tensors are int64 on the CPU."""

    tokens_BT: Tensor
    targets_BT: Tensor
    """The token after each token, or IGNORED where nothing is to be predicted."""
    document_ids_BT: Tensor | None
    """Which document of its sequence each token belongs to, from 0 (padding: -1); None without document mask."""

    @classmethod
    def of(cls, rows: Tensor, bos_id: int | None, documents: Tensor | None = None) -> "Microbatch":
        """From samples [B, T + 1], which are copied.

        Args:
            bos_id: what documents are told apart by, across which tokens are predicted.
            documents: [B, T + 1] of `Dataset.documents`: nothing is predicted across them, and no padding.
        """
        tokens_BT, targets_BT = (
            part.clone(memory_format=torch.contiguous_format) for part in (rows[:, :-1], rows[:, 1:])
        )
        if documents is not None:
            before_BT, after_BT = documents[:, :-1], documents[:, 1:]
            targets_BT.masked_fill_((before_BT != after_BT) | (after_BT < 0), IGNORED)
            return cls(tokens_BT, targets_BT, before_BT.contiguous())
        if bos_id is None:
            return cls(tokens_BT, targets_BT, None)
        starts_BT = (tokens_BT == bos_id).cumsum(dim=1)
        return cls(tokens_BT, targets_BT, starts_BT - starts_BT[:, :1])


@dataclass(frozen=True)
class Batch:
    """The part of one global batch that belongs to a rank."""

    microbatches: tuple[Microbatch, ...]
    sample_ids: range
    """Global indices of the samples of this rank, in the order of the rows of the micro-batches."""
    first_sample: int
    """Global index of the first sample of the whole step."""
    predicted_tokens: int | None = None
    """Targets of the whole step, of all ranks, that are not ignored; None if none is ignored."""


class Loader(Iterator[Batch]):
    """Endless batches from sample `consumed_samples` on; a context manager.

    A step takes the next `global_batch_size` samples; rank r of D takes the r-th of D equal, contiguous parts. So the
    samples of a step do not depend on D or on the micro-batches, and the whole state is `consumed_samples`.

    An error while reading ahead is raised by the step that needed the data, and again by every later call.

    Args:
        dataset: numbers and reads the samples.
        global_batch_size: samples per step over all ranks; a multiple of micro_batch_size * data_parallel_size.
        micro_batch_size: samples per pass.
        data_parallel_rank: of this process.
        data_parallel_size: number of ranks.
        consumed_samples: samples of all earlier steps.
        prefetch_steps: steps that are read ahead; 0 reads on demand, without a thread.
        document_mask: give document ids. A document starts at `<s>`, unless the dataset keeps documents whole and knows
            them.
        left_out: samples that are never handed out: a batch that would hold one of them begins behind them.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        global_batch_size: int,
        micro_batch_size: int,
        data_parallel_rank: int,
        data_parallel_size: int,
        consumed_samples: int = 0,
        prefetch_steps: int = 2,
        document_mask: bool = False,
        left_out: Sequence[range] = (),
    ) -> None:
        if global_batch_size % (micro_batch_size * data_parallel_size):
            raise ValueError(f"{global_batch_size} samples over {data_parallel_size} ranks by {micro_batch_size}")
        if not 0 <= data_parallel_rank < data_parallel_size:
            raise ValueError(f"rank {data_parallel_rank} of {data_parallel_size}")
        self.consumed_samples = consumed_samples
        """One more than the last sample that was handed out, over all ranks."""
        self._dataset = dataset
        self._global_batch_size = global_batch_size
        self._micro_batch_size = micro_batch_size
        self._rank = data_parallel_rank
        self._rank_samples = global_batch_size // data_parallel_size
        self._bos_id = dataset.manifest.tokenizer.start_id if document_mask else None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader") if prefetch_steps else None
        self._prefetch_steps = prefetch_steps
        self._ahead: deque[Future[Batch]] = deque()
        self.seek(consumed_samples, left_out)

    def seek(self, consumed_samples: int, left_out: Sequence[range]) -> None:
        """Go on from another position, as a loader that is made for it would."""
        while self._ahead:
            self._ahead.pop().cancel()
        self.consumed_samples = self._read_samples = consumed_samples
        self._left_out = sorted(left_out, key=lambda samples: samples.start)

    def __next__(self) -> Batch:
        if self._thread is None:
            batch = self._read(self._start(self.consumed_samples))
        else:
            while len(self._ahead) <= self._prefetch_steps:
                start = self._start(self._read_samples)
                self._ahead.append(self._thread.submit(self._read, start))
                self._read_samples = start + self._global_batch_size
            batch = self._ahead[0].result()
            self._ahead.popleft()
        self.consumed_samples = batch.first_sample + self._global_batch_size
        return batch

    def _start(self, sample: int) -> int:
        """Where a batch begins that would begin at `sample`, were nothing left out."""
        for samples in self._left_out:
            if sample < samples.stop and sample + self._global_batch_size > samples.start:
                sample = samples.stop
        return sample

    def close(self) -> None:
        """Stop reading ahead; waits for the step that is being read."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, first_sample: int) -> Batch:
        start = first_sample + self._rank * self._rank_samples
        sample_ids = range(start, start + self._rank_samples)
        rows = torch.from_numpy(self._dataset.samples(sample_ids))
        numbers = self._dataset.documents(sample_ids)
        documents = None if numbers is None else torch.from_numpy(numbers)
        parts = [slice(row, row + self._micro_batch_size) for row in range(0, len(rows), self._micro_batch_size)]
        microbatches = tuple(
            Microbatch.of(rows[part], self._bos_id, None if documents is None else documents[part]) for part in parts
        )
        # Every rank computes the same, so that nobody has to be asked.
        whole_step = range(first_sample, first_sample + self._global_batch_size)
        predicted = None if documents is None else self._dataset.predicted(whole_step)
        return Batch(microbatches, sample_ids, first_sample, predicted)
