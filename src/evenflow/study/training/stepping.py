"""How a step is carried out: plainly, or on a GPU as a recorded graph."""

from __future__ import annotations

from collections.abc import Callable

import torch

from evenflow.study.training.bank import Bank

_WARM_UP = 3


def stepper(bank: Bank) -> Callable[[], None]:
    """A function that makes one step of the bank of plain descent from its inputs and targets."""
    if bank.inputs.device.type != "cuda":
        return bank.step
    return recorded(bank)


def recorded(bank: Bank) -> Callable[[], None]:
    """The bank's step as a CUDA graph: one launch in place of several dozen."""
    kept = [tensor.clone() for tensor in (*bank.weights, *bank.biases)]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            bank.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        bank.step()
    for tensor, value in zip((*bank.weights, *bank.biases), kept, strict=True):
        tensor.copy_(value)
    return graph.replay
