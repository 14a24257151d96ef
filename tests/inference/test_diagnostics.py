from __future__ import annotations

import pytest
import torch

from mrfmask.inference.diagnostics import effective_sample_size, split_r_hat


def autoregressive(phi: float, chains: int, sweeps: int) -> torch.Tensor:
    noise = torch.randn(1, chains, sweeps, generator=torch.Generator().manual_seed(0)).double()
    trace = noise.clone()
    for t in range(1, sweeps):
        trace[..., t] = phi * trace[..., t - 1] + noise[..., t]
    return trace


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_effective_sample_size_of_an_autoregression(phi):
    trace = autoregressive(phi, 4, 20_000)
    expected = 80_000 * (1 - phi) / (1 + phi)
    assert effective_sample_size(trace).item() == pytest.approx(expected, rel=0.1)


def test_r_hat_is_one_for_chains_that_agree():
    assert split_r_hat(autoregressive(0.5, 4, 20_000)).item() == pytest.approx(1, abs=2e-3)


def test_r_hat_sees_a_drift_within_one_chain():
    trace = autoregressive(0.0, 1, 1000) + torch.linspace(0, 3, 1000).double()
    assert split_r_hat(trace).item() > 1.3


def test_r_hat_of_constant_traces():
    same = torch.ones(1, 2, 10, dtype=torch.float64)
    assert split_r_hat(same).item() == 1
    assert effective_sample_size(same).item() == 20
    different = same * torch.tensor([1.0, 2.0])[None, :, None]
    assert split_r_hat(different).item() == torch.inf


def test_short_traces_have_no_diagnostics():
    assert split_r_hat(torch.zeros(1, 1, 3)).isnan().all()
    assert effective_sample_size(torch.zeros(1, 1, 3)).isnan().all()
