"""The mask layer under torch.compile, autocast and DistributedDataParallel."""

from __future__ import annotations

import pytest
import torch
from loss_oracles import with_gradients
from strategies import random_grid
from torch import nn
from torch.nn.functional import softplus

from mrfmask import IsingGrid
from mrfmask.nn.estimators import ESTIMATORS
from mrfmask.nn.layers import MaskLayer


class MaskedNet(nn.Module):
    """Potentials from a picture, a mask, and a loss for every mask of what it lets through."""

    def __init__(self, estimator, budget=12):
        super().__init__()
        torch.manual_seed(0)
        self.potentials = nn.Conv2d(1, 3, 3, padding=1)
        few = {"samples": 3, "sweeps": 5} if estimator in ("score_function", "covariance") else {}
        self.layer = MaskLayer(estimator, budget, **few)
        self.after = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, picture):
        unary, right, down = self.potentials(picture).float().unbind(1)
        model = IsingGrid(unary, softplus(right[:, :, :-1]) / 4, softplus(down[:, :-1]) / 4)
        masks = self.layer(model)
        several = masks if masks.dim() == 4 else masks[:, None]
        seen = several.flatten(0, 1)[:, None] * picture.repeat_interleave(several.shape[1], 0)
        losses = self.after(seen).square().mean(dim=(1, 2, 3)).reshape(several.shape[:2])
        if masks.dim() == 4:
            return self.layer.surrogate(model, masks, losses)
        return losses.mean()


def picture(seed=1, batch=2):
    return torch.randn(batch, 1, 8, 9, generator=torch.Generator().manual_seed(seed))


def steps(net, module, autocast=False):
    """Losses of three steps, and the parameters after them."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for step in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = module(picture(step))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses), nn.utils.parameters_to_vector(net.parameters())


# The compiler looks at .grad of tensors that are no leaves, and hides the warning, not the error.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_layer_trains_the_same_when_compiled(name):
    net = MaskedNet(name)
    expected = steps(net, net)
    torch.compiler.reset()
    net, graphs = MaskedNet(name), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    actual = steps(net, torch.compile(net, backend=backend))
    assert graphs
    assert int(net.layer.draws) == 3
    for one, other in zip(actual, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_layer_loses_no_precision_under_autocast(name):
    results = []
    for enabled in (False, True):
        model, leaves = with_gradients(random_grid(2, 8, 9, coupling=0.3))
        layer = MaskedNet(name).layer
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            masks = layer(model)
            losses = (masks * torch.arange(9.0)).sum(dim=(-2, -1))
            several = masks.dim() == 4
            (layer.surrogate(model, masks, losses) if several else losses.sum()).backward()
        results.append([masks, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_layer_trains_under_autocast(name):
    net = MaskedNet(name)
    kinds = []
    net.layer.register_forward_hook(lambda module, inputs, masks: kinds.append(masks.dtype))
    before = net.potentials.weight.detach().clone()
    losses, after = steps(net, net, autocast=True)
    assert kinds == [torch.float32] * 3
    assert losses.isfinite().all()
    assert after.isfinite().all()
    assert (net.potentials.weight != before).flatten(1).any(dim=1).all()


def _one_of_two(rank, address, name, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    net = MaskedNet(name)
    drawn = []
    net.layer.register_forward_hook(lambda module, inputs, masks: drawn.append(masks.detach()))
    losses, parameters = steps(net, nn.parallel.DistributedDataParallel(net))
    torch.save((drawn, losses, parameters, int(net.layer.draws)), f"{results}/{rank}")
    torch.distributed.destroy_process_group()


# Newer Pythons warn of any fork in a process with threads; a fork saves importing torch twice.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_layer_draws_apart_and_trains_as_one_in_two_processes(tmp_path):
    arguments = (f"file://{tmp_path}/store", "score_function", str(tmp_path))
    torch.multiprocessing.start_processes(_one_of_two, arguments, nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / str(rank)) for rank in (0, 1))
    assert first[3] == second[3] == 3
    assert torch.equal(first[2], second[2])
    assert not torch.equal(first[1], second[1])  # both see the same pictures, with their own masks
    for one, other in zip(first[0], second[0], strict=True):
        assert not torch.equal(one, other)
