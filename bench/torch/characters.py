"""The character Transformer of bench/characters.ts in PyTorch: the same weights and batches, the loss of every step.

Usage: characters.py FOLDER, which holds weights.npz (PyTorch's names) and batches.npz (tokens [steps, B, T + 1]).
Prints {"losses": [...], "seconds": ...} as JSON.
"""
import json
import sys
import time

import numpy as np
import torch
from torch import nn

torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
folder = sys.argv[1]
weights = {name: torch.from_numpy(value) for name, value in np.load(f"{folder}/weights.npz").items()}
tokens = torch.from_numpy(np.load(f"{folder}/batches.npz")["tokens"]).long()
settings = json.load(open(f"{folder}/settings.json"))
width, heads, layers = settings["width"], settings["heads"], settings["layers"]
vocabulary, length = weights["embedding.weight"].shape[0], tokens.shape[2] - 1


class Characters(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x):
        mask = torch.full((length, length), float("-inf")).triu(1)
        h = self.embedding(x) + self.places(torch.arange(length))
        for block in self.blocks:
            h = block(h, src_mask=mask)
        return self.head(self.norm(h))


model = Characters()
model.load_state_dict(weights)
optimizer = torch.optim.AdamW(model.parameters(), lr=settings["lr"], weight_decay=settings["weightDecay"])
losses = []
begun = time.time()
for batch in tokens:
    logits = model(batch[:, :-1])
    loss = nn.functional.cross_entropy(logits.reshape(-1, vocabulary), batch[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(json.dumps({"losses": losses, "seconds": time.time() - begun}))
