"""The network of bench/st-gcn.ts in PyTorch: the same weights and clips; the loss and the times of every step.

Usage: st_gcn.py FOLDER THREADS STEPS, the folder with weights.npz, batch.npz and settings.json.
Prints {"losses": [...], "clock": [ms...], "cores": [ms...]} as JSON.
"""
import json
import sys
import time

import numpy as np
import torch
from torch import nn

folder, threads, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
settings = json.load(open(f"{folder}/settings.json"))
parts = settings["parts"]


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.out = out
        self.gcn = nn.Conv2d(inside, parts * out, 1)
        self.importance = nn.Parameter(torch.zeros(parts, 25, 25))
        self.norm1, self.norm2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.tcn = nn.Conv2d(out, out, (9, 1), (stride, 1), (4, 0))
        if inside != out or stride != 1:
            self.shortcut, self.norm3 = nn.Conv2d(inside, out, 1, (stride, 1)), nn.BatchNorm2d(out)

    def forward(self, x):
        n, _, t, v = x.shape
        y = self.gcn(x).view(n, parts, self.out, t, v)
        y = self.norm1(torch.einsum("nkctv,kvw->nctw", y, self.importance).contiguous()).relu()
        y = self.norm2(self.tcn(y))
        return (y + (self.norm3(self.shortcut(x)) if hasattr(self, "shortcut") else x)).relu()


class StGcn(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block(*b) for b in settings["blocks"])
        self.head = nn.Linear(settings["blocks"][-1][1], settings["classes"])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


model = StGcn()
model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in np.load(f"{folder}/weights.npz").items()})
data = np.load(f"{folder}/batch.npz")
x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"]).long()
optimizer = torch.optim.SGD(model.parameters(), lr=settings["rate"])
losses, clock, cores = [], [], []
for _ in range(steps):
    begun, used = time.perf_counter(), time.process_time()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    clock.append(1000 * (time.perf_counter() - begun))
    cores.append(1000 * (time.process_time() - used))
print(json.dumps({"losses": losses, "clock": clock, "cores": cores}))
