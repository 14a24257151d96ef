"""One call of each public function, on an installed wheel; run by CI outside the checkout."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

import mrfmask as mm

unary = torch.randn(2, 6, 7, generator=torch.Generator().manual_seed(0))
model = mm.IsingGrid(unary, torch.full((2, 6, 6), 0.4), torch.full((2, 5, 7), 0.4))
small = mm.IsingGrid(unary[:, :3, :4], -model.right[:, :3, :3], model.down[:, :2, :4])

found = mm.find_map(model)
assert found.method == "graph_cut", found
assert found.verify(model)
assert mm.find_map(small, method="ilp").energy.allclose(mm.find_map(small, method="exact").energy)
assert (mm.find_map(small, method="annealing").gap >= 0).all()
assert mm.marginals(model).log_partition.isfinite().all()
assert mm.sample(model, sweeps=20, chains=3, seed=1).masks.shape == (2, 3, 6, 7)
tables = (torch.rand(1, 2, 2, 2), torch.rand(1, 2, 1, 2, 2), torch.rand(1, 1, 2, 2, 2))
assert len(mm.IsingGrid.from_costs(*tables)) == 1
with tempfile.TemporaryDirectory() as folder:
    for suffix in (".npz", ".safetensors"):
        path = Path(folder) / f"model{suffix}"
        mm.save_model(model, path)
        assert torch.equal(mm.load_model(path).unary, model.unary)
for name, method in mm.METHODS.items():
    options = {"budget": 5} if name == "kawasaki" else {}
    method(**options)(small if name != "graph_cut" else model)
print(f"mrfmask {mm.__version__}: every public function works")
