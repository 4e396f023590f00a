"""Look at a network that will not train, and see why; then look at the cure."""

import torch
from torch import nn

import evenflow as ef

torch.manual_seed(0)
layers = [m for _ in range(20) for m in (nn.Linear(128, 128), nn.Tanh())]
model = nn.Sequential(*layers, nn.Linear(128, 10))  # PyTorch's default initialisation
images, labels = torch.randn(256, 128), torch.randint(0, 10, (256,))

before = ef.check(model, images, labels, loss="cross_entropy")
for finding in before.diagnosis.findings:
    print(f"{finding.level}: {finding.code} {finding.name} at {finding.where}: {finding.measured}")

ef.init_(model, images, seed=0)
after = ef.check(model, images, labels, loss="cross_entropy")
print(f"after ef.init_: {len(after.diagnosis.at_or_above('warning'))} warnings or errors")
