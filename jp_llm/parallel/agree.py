"""What must be the same on several processes, compared."""

from typing import Any

import torch.distributed
from torch.distributed import ProcessGroup


def agree(what: str, value: Any, group: ProcessGroup) -> None:
    """Every process of the group must have the same value.

    Raises:
        RuntimeError: it does not.
    """
    values: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(values, value, group=group)
    different = [other for other in values if other != value]
    if different:
        raise RuntimeError(f"{what} differ between processes: {value} here, {different[0]} elsewhere; this is a bug")
