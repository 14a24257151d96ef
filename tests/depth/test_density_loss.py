"""The loss of densities, against its formula by hand and its best density."""

from __future__ import annotations

import math

import pytest
import torch

from mrfmask.depth.density_loss import density_loss


def drawn(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-densities, errors and validity of two images for two shares, in float64."""
    draws = torch.Generator().manual_seed(seed)
    log_density = torch.randn(2, 2, 5, 6, generator=draws, dtype=torch.float64)
    errors = torch.rand(2, 2, 5, 6, generator=draws, dtype=torch.float64).exp()
    valid = torch.rand(2, 5, 6, generator=draws) < 0.7
    return log_density, errors, valid


def test_loss_is_the_formula():
    log_density, errors, valid = drawn()
    found = density_loss(log_density, errors, valid)
    for image in range(2):
        for share in range(2):
            rho = [math.exp(v) for v in log_density[image, share][valid[image]].tolist()]
            q = errors[image, share][valid[image]].tolist()
            mean = sum(rho) / len(rho)
            left = sum(e * (r / mean) ** -0.7 for e, r in zip(q, rho, strict=True)) / len(q)
            assert found[image, share].item() == pytest.approx(math.log(left), rel=1e-12)


def test_loss_is_least_at_errors_to_the_power_of_1_over_1_7():
    _, errors, valid = drawn(1)
    best = (errors.log() / 1.7).requires_grad_()
    loss = density_loss(best, errors, valid).sum()
    (gradient,) = torch.autograd.grad(loss, best)
    assert gradient.abs().max() < 1e-12
    draws = torch.Generator().manual_seed(2)
    for _ in range(5):
        other = best.detach() + 0.3 * torch.randn(best.shape, generator=draws).double()
        assert (density_loss(other, errors, valid) > density_loss(best, errors, valid)).all()


def test_loss_of_an_even_density_is_that_of_the_errors():
    _, errors, valid = drawn(3)
    found = density_loss(torch.full_like(errors, 2.5), errors, valid)
    mean = errors.where(valid[:, None], 0).sum((2, 3)) / valid.sum((1, 2))[:, None]
    assert torch.allclose(found, mean.log(), rtol=1e-12)


def test_loss_does_not_read_what_is_not_valid():
    log_density, errors, valid = drawn(4)
    inside = valid[:, None].expand_as(errors)
    wild = log_density.where(inside, 40.0).requires_grad_()
    found = density_loss(wild, errors.where(inside, torch.inf), valid)
    assert torch.equal(found, density_loss(log_density, errors, valid))
    (gradient,) = torch.autograd.grad(found.sum(), wild)
    assert (gradient[~inside] == 0).all()


def test_loss_does_not_depend_on_a_constant():
    log_density, errors, valid = drawn(5)
    found = density_loss(log_density + 3, errors, valid)
    assert torch.allclose(found, density_loss(log_density, errors, valid), rtol=1e-12)
