"""Attention by a function, as a module that can be traced."""

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.function = function

    def forward(self, query, key, value):
        return self.function(query, key, value)
