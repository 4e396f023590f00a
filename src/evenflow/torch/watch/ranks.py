"""Several processes that train one model: what they measured is exchanged once a sampled step."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist

from evenflow.record.run_sums import Sums


class Ranks:
    """The processes of the default group; this one alone where none is set up."""

    def __init__(self) -> None:
        there = dist.is_available() and dist.is_initialized()
        self.count = dist.get_world_size() if there else 1
        self.first = not there or dist.get_rank() == 0

    def gathered(self, own: list[Sums]) -> list[list[Sums]]:
        """The arrays of every process, in one exchange.

        Every process has to call it, with arrays of the same shapes.
        """
        flat = torch.from_numpy(np.concatenate([part.reshape(-1) for part in own]))
        if dist.get_backend() == "nccl":
            flat = flat.cuda()
        everyone = [torch.empty_like(flat) for _ in range(self.count)]
        dist.all_gather(everyone, flat)
        ends = np.cumsum([part.size for part in own])[:-1]
        return [
            [
                part.reshape(like.shape)
                for part, like in zip(np.split(each.cpu().numpy(), ends), own, strict=True)
            ]
            for each in everyone
        ]
