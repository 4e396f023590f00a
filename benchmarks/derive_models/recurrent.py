"""Recurrent networks and scans."""

from __future__ import annotations

import torch
from benchmarks.derive_models import entry
from torch import nn

WIDTH, LENGTH, BATCH = 128, 32, 16


class Outputs(nn.Module):
    """A recurrent layer's outputs, through a linear layer."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(x)[0])


class Last(Outputs):
    """The last layer's final state, through a linear layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = self.layer(x)[1]
        return self.head((state[0] if isinstance(state, tuple) else state)[-1])


def sequences() -> torch.Tensor:
    return torch.randn(BATCH, LENGTH, WIDTH)


@entry()
def lstm():
    return Outputs(nn.LSTM(WIDTH, WIDTH, 3, batch_first=True), WIDTH), sequences()


@entry()
def gru():
    return Outputs(nn.GRU(WIDTH, WIDTH, 3, batch_first=True), WIDTH), sequences()


@entry()
def lstm_both_ways():
    layer = nn.LSTM(WIDTH, WIDTH, 2, batch_first=True, bidirectional=True, dropout=0.2)
    return Outputs(layer, 2 * WIDTH), sequences()


@entry()
def gru_last_state():
    return Last(nn.GRU(WIDTH, WIDTH, 2, batch_first=True), WIDTH), sequences()


@entry()
def rnn_tanh():
    return Outputs(nn.RNN(WIDTH, WIDTH, 2, batch_first=True), WIDTH), sequences()


@entry()
def rnn_relu():
    layer = nn.RNN(WIDTH, WIDTH, 2, batch_first=True, nonlinearity="relu")
    return Outputs(layer, WIDTH), sequences()


class StackedLSTM(nn.Module):
    """LSTM layers as modules of their own, with layer norms between them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.LSTM(WIDTH, WIDTH, batch_first=True) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x)[0])
        return x


@entry()
def lstm_modules():
    return StackedLSTM(), sequences()


class Cells(nn.Module):
    """LSTM cells in a loop of Python."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = None
        for t in range(8):
            state = self.cell(x[:, t], state)
        return self.head(state[0])


@entry()
def lstm_cells():
    return Cells(), sequences()
