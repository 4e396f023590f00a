"""Several processes that train one model: their sums become one, and the first of them writes."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from evenflow.record.run_sums import merged

Sums = NDArray[np.float64]


class Ranks:
    """The processes of the default group; one alone where none is set up."""

    def __init__(self) -> None:
        there = dist.is_available() and dist.is_initialized()
        self.count = dist.get_world_size() if there else 1
        self.first = not there or dist.get_rank() == 0

    def merged(self, parts: list[Sums]) -> list[Sums] | None:
        """Each array of sums over all processes, in one exchange; None in those that do not write.

        Every process has to call it, with arrays of the same shapes.
        """
        if self.count == 1:
            return parts
        flat = torch.from_numpy(np.concatenate([part.reshape(-1) for part in parts]))
        if dist.get_backend() == "nccl":
            flat = flat.cuda()
        everyone = [torch.empty_like(flat) for _ in range(self.count)]
        dist.all_gather(everyone, flat)
        if not self.first:
            return None
        ends = np.cumsum([part.size for part in parts])[:-1]
        split = [np.split(each.cpu().numpy(), ends) for each in everyone]
        return [
            merged([own[i].reshape(part.shape) for own in split]) for i, part in enumerate(parts)
        ]
