"""What a plan says of itself before it is applied."""

import pytest
import torch
from torch import nn

import evenflow as ef


def deep(activation, depth=20, width=32):
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), activation)]
    return nn.Sequential(*layers, nn.Linear(width, 2)), torch.zeros(4, width)


def test_a_scheme_that_loses_signals_says_so_whatever_its_name():
    model, x = deep(nn.Tanh())
    notes = ef.plan(model, x, "heuristic").notes
    assert notes[0].startswith("over 20 blocks the squared norm of an example ranges ×")
    assert " from 38 (linear) to 0 (linear), that of its gradient ×" in notes[0]
    assert any(note.startswith("activations vanish: by the derivation") for note in notes)
    assert any(note.startswith("gradients vanish: by the derivation") for note in notes)


def test_a_scheme_that_explodes_says_so():
    model, x = deep(nn.Identity())
    notes = ef.plan(model, x, "he").notes
    assert any(note.startswith("activations explode: by the derivation") for note in notes)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.stack, self.head = nn.LSTM(8, 8, num_layers=12, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.stack(x)[0])


def test_signals_that_die_within_a_recurrent_stack_are_told():
    model = Tagger()
    notes = ef.plan(model, torch.zeros(4, 6, 8), "glorot").notes
    assert any(note.startswith("activations vanish") for note in notes)
    assert any(note.startswith("gradients vanish") and "at input x" in note for note in notes)
    assert not any("vanish" in note for note in ef.plan(model, torch.zeros(4, 6, 8)).notes)


def test_one_block_has_no_price():
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    assert ef.plan(model, torch.zeros(2, 8), "glorot").notes == ()


def test_a_derivation_says_what_the_given_inputs_change():
    model, x = deep(nn.Tanh(), depth=6)
    plan = ef.plan(model, x)
    quiet = ef.derive(model, 0.1 * torch.randn(64, 32), plan).notes
    assert quiet[: len(plan.notes)] == plan.notes
    assert quiet[-1].startswith("on these inputs: over 6 blocks")
    assert ef.derive(model, x.to("meta"), plan).notes == plan.notes
    assert ef.derive(model, x.to("meta")).notes[0].startswith("over 6 blocks")


class Residual(nn.Module):
    def __init__(self, depth=12, width=16):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.Softsign(), nn.Linear(width, width))
            for _ in range(depth)
        )

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x


def test_branches_are_no_stack():
    notes = ef.plan(Residual(), torch.zeros(4, 16)).notes
    assert "softsign: gains taken at q = " in notes[0]
    assert "over 2 layers of width 16" in notes[0]
    assert len(notes) == 2


def test_stacks_of_gated_cells_say_what_they_do_to_each_kind_of_signal():
    stack = nn.GRU(8, 8, num_layers=2, batch_first=True)
    (note,) = ef.plan(stack, torch.zeros(2, 3, 8)).notes
    assert note.startswith("gru: input weights between layers have n·Var W = 1.44; a layer ")
    assert "white noise by 0.52, forwards and backwards, and that of slow signals by 1.9" in note


@pytest.mark.parametrize("scheme", ["auto", "orthogonal", "lecun"])
def test_every_scheme_names_its_price(scheme):
    model, x = deep(nn.ReLU(), depth=4)
    (note,) = (note for note in ef.plan(model, x, scheme).notes if note.startswith("over 4 blocks"))
    assert note.count("×") == 2
