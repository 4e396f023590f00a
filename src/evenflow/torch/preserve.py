"""Leave a model as it was found: buffers, gradients, modes and the random state, error or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def preserved(model: torch.nn.Module) -> Iterator[None]:
    """Whatever is run inside, buffers, gradients, training modes, ``requires_grad`` and torch's
    random generators are afterwards what they were. Parameters' values are not copied: code
    inside must not write them.
    """
    buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    gradients = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    if name in buffers and not buffer.is_meta:
                        buffer.copy_(buffers[name])
            for parameter, gradient, requires_grad in gradients:
                parameter.requires_grad_(requires_grad)
                parameter.grad = gradient
            for module, mode in modes:
                module.training = mode
