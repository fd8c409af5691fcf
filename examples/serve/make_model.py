"""Trains the model that main.ts serves, and saves it as PyTorch saves: python3 make_model.py"""
import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(500):
    points = torch.rand(128, 2) * 2 - 1
    loss = (model(points)[:, 0] - points[:, 0] * points[:, 1]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
points = torch.rand(200, 2) * 2 - 1
torch.save({"state_dict": model.state_dict(), "points": points, "products": model(points).detach()}, "model.pt")
print(loss.item())
