"""Target networks follow by the formula, and by nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mrfmask.depth.describe import digest_of
from mrfmask.depth.targets import Target


def small(seed: int = 0) -> nn.Module:
    """Weights, running means, and a buffer of ints."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).double()
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5)
    return net


def states(count: int) -> list[nn.Module]:
    nets = [small(seed) for seed in range(count)]
    for number, net in enumerate(nets):
        net[1].num_batches_tracked.fill_(10 * number)
    return nets


@pytest.mark.parametrize("tau", [0.1, 0.7, 1.0])
def test_target_is_the_weighted_sum_of_all_networks(tau):
    nets = states(6)
    target = Target(nets[0], tau=tau)
    for net in nets[1:]:
        target.update(net)
    shares = [(1 - tau) ** 5] + [tau * (1 - tau) ** (5 - k) for k in range(1, 6)]
    for name, value in target.net.state_dict().items():
        values = [net.state_dict()[name] for net in nets]
        if not value.is_floating_point():
            assert torch.equal(value, values[-1]), name
            continue
        expected = sum(share * v for share, v in zip(shares, values, strict=True))
        torch.testing.assert_close(value, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_periodic_target_is_the_network_of_the_last_multiple(every):
    nets = states(8)
    target = Target(nets[0], every=every)
    for number, net in enumerate(nets[1:], start=1):
        target.update(net)
        expected = nets[number // every * every].state_dict()
        for name, value in target.net.state_dict().items():
            assert torch.equal(value, expected[name]), (number, name)


@pytest.mark.parametrize("follows", [{"tau": 0.3}, {"every": 3}])
def test_target_goes_on_alike_from_its_state(follows):
    nets = states(7)
    through, first = Target(nets[0], **follows), Target(nets[0], **follows)
    for net in nets[1:]:
        through.update(net)
    for net in nets[1:3]:
        first.update(net)
    second = Target(small(99), **follows)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for net in nets[3:]:
        second.update(net)
    assert second.digest() == through.digest()
    assert int(second.updates) == 6


def test_target_stays_in_evaluation_mode_without_gradients():
    net = small().train()
    target = Target(net, tau=0.5).train()
    assert not any(module.training for module in target.modules())
    assert not any(p.requires_grad for p in target.parameters())
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    x = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    assert not target(x).requires_grad
    assert torch.equal(target(x), net.eval()(x))


def test_target_shares_no_memory_with_the_network():
    net = small()
    for follows in ({"tau": 1.0}, {"every": 1}):
        target = Target(net, **follows)
        target.update(net)
        before = target.digest()
        for value in net.state_dict().values():
            value += 1
        assert target.digest() == before


def test_digest_changes_with_the_last_bit_of_any_weight():
    net = small()
    digest = digest_of(net)
    assert digest == digest_of(copy.deepcopy(net).requires_grad_(False))
    for name, value in net.state_dict().items():
        kept = value.clone()
        flat = value.view(-1)
        if value.is_floating_point():
            flat[-1] = torch.nextafter(flat[-1], torch.tensor(9.0).double())
        else:
            flat[-1] += 1
        assert digest_of(net) != digest, name
        value.copy_(kept)
    assert digest_of(net) == digest


def test_digest_changes_with_name_shape_and_dtype():
    def holder(**buffers: torch.Tensor) -> nn.Module:
        module = nn.Module()
        for name, value in buffers.items():
            module.register_buffer(name, value)
        return module

    zeros = torch.zeros(4)
    nets = [
        holder(a=zeros),
        holder(b=zeros),
        holder(a=zeros.view(2, 2)),
        holder(a=zeros.int()),
        holder(a=zeros[:2], b=zeros[2:]),
        holder(a=zeros[:1], b=zeros[1:]),
    ]
    assert len({digest_of(net) for net in nets}) == len(nets)
    # But not with strides.
    grid = torch.rand(3, 4)
    assert digest_of(holder(a=grid.T)) == digest_of(holder(a=grid.T.contiguous()))


def test_target_refuses_weights_that_are_not_finite_and_stays():
    net = small()
    target = Target(net, tau=0.5)
    before = target.digest()
    net[1].running_var[2] = float("nan")
    with pytest.raises(RuntimeError, match=r"finite weights; got others in 1\.running_var"):
        target.update(net)
    assert target.digest() == before
    assert int(target.updates) == 0


def test_target_refuses_another_network():
    target = Target(nn.Linear(2, 3), tau=0.5)
    for other in (nn.Linear(3, 3), nn.Linear(2, 3, bias=False)):
        with pytest.raises(ValueError, match="net must have the weights of the one"):
            target.update(other)


@pytest.mark.parametrize(
    ("follows", "error", "says"),
    [
        ({}, TypeError, "tau or every must be given"),
        ({"tau": 0.1, "every": 2}, TypeError, "tau or every must be given"),
        ({"tau": "a"}, TypeError, "tau must be a number"),
        ({"tau": 0.0}, ValueError, "tau must be positive"),
        ({"tau": 1.5}, ValueError, r"tau must lie in \(0, 1\]"),
        ({"every": 0}, ValueError, "every must lie in"),
        ({"every": 1.5}, TypeError, "every must be an int"),
    ],
)
def test_target_refuses_other_options(follows, error, says):
    with pytest.raises(error, match=says):
        Target(nn.Linear(1, 1), **follows)


def test_target_refuses_what_is_no_network():
    with pytest.raises(TypeError, match="net must be a torch"):
        Target(lambda x: x, tau=0.5)
