"""Initialise a model so that signals stay level, read the plan, and change a part of it."""

import torch
from torch import nn

import evenflow as ef
from evenflow.planning.distributions import Normal

model = nn.Sequential(
    nn.Conv2d(3, 32, 3, padding=1),
    nn.GELU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3, stride=2, padding=1),
    nn.GELU(),
    nn.Flatten(),
    nn.Linear(64 * 8 * 8, 10),
)
images = torch.empty(8, 3, 32, 32, device="meta")  # only the shape counts

plan = ef.plan(model, images)  # decides, writes nothing
print(plan)

plan["6.weight"] = Normal(0.01)  # edit by name or glob
plan.save("plan.json")

applied = ef.Plan.load("plan.json").apply_(model, seed=0)  # the one step that writes
print(f"\nwritten with seed {applied.seed}; against plain Glorot it changes:")
print(applied.diff(ef.plan(model, images, scheme="glorot")))
