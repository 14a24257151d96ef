"""What a mask layer costs in training: its share of a step of a network of ResNet-18's size.

Forward and backward at 100x100, batch 32, all on the same threads in one run: the mean-field mask
layer, the structured hinge, and a training step of ResNet-18 (11.2 M weights; He et al., 2016) on
pictures of that size. Writes bench/results/mask_layer.json.

    python -m bench.mask_layer
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.instances import instance
from mrfmask import IsingGrid
from mrfmask.bench.machine import machine
from mrfmask.nn import MaskLayer
from mrfmask.nn.losses import StructuredHinge

RESULTS = Path(__file__).parent / "results" / "mask_layer.json"
BATCH, SIDE = 32, 100
COUPLING = 0.3


class Block(nn.Module):
    """Two 3x3 convolutions around a short cut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        same = stride == 1 and channels == out
        self.short = nn.Identity() if same else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, out, height / stride, width / stride)."""
        return torch.relu(self.path(x) + self.short(x))


def resnet18() -> nn.Sequential:
    """The eighteen layers."""
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(channels, out, stride), Block(out, out, 1)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Shortest of several runs, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def training_step() -> Callable[[], None]:
    """Forward, backward and an update of ResNet-18."""
    net = resnet18()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    pictures, labels = torch.randn(BATCH, 3, SIDE, SIDE), torch.randint(10, (BATCH,))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(pictures), labels).backward()
        optimizer.step()

    return step


def through(function: Callable[[IsingGrid], Tensor]) -> Callable[[], None]:
    """Forward and backward of a function of potentials."""
    model = instance(SIDE, SIDE, COUPLING, BATCH)
    tensors = [t.clone().requires_grad_() for t in (model.unary, model.right, model.down)]

    def run() -> None:
        for tensor in tensors:
            tensor.grad = None
        function(IsingGrid(*tensors)).backward()

    return run


def main() -> None:
    """Measures all three and writes the shares."""
    torch.manual_seed(0)
    target = torch.rand(BATCH, SIDE, SIDE) < 0.3
    weight = torch.randn(BATCH, SIDE, SIDE)
    layer, hinge = MaskLayer(estimator="mean_field"), StructuredHinge()
    step = seconds(training_step(), 3)
    times = {
        "mean_field_layer": seconds(through(lambda m: (layer(m) * weight).sum()), 10),
        "structured_hinge": seconds(through(lambda m: hinge(m, target)), 10),
    }
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine() | {"threads": torch.get_num_threads()},
        "batch": BATCH,
        "side": SIDE,
        "resnet18_step_seconds": step,
        "seconds": times,
        "share_of_step": {name: value / step for name, value in times.items()},
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
