"""How good are the samples? Split R-hat and effective sample size of a traced quantity."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mrfmask.model import IsingGrid
from mrfmask.result import Marginals, Samples, Status

LARGEST_R_HAT = 1.01


def share(counts: Int[Tensor, "*shape"], total: int) -> Float[Tensor, "*shape"]:
    """``counts / total`` in float64, the same bits on every device.

    By a tensor of the device: CUDA divides by a number as it multiplies by the inverse.
    """
    return counts.to(torch.float64) / torch.full(
        (), float(total), dtype=torch.float64, device=counts.device
    )


def split_r_hat(trace: Float[Tensor, "batch chains sweeps"]) -> Float[Tensor, " batch"]:
    """Split R-hat: each chain is cut in two halves, and halves are compared with each other.

    Args:
        trace: (batch, chains, sweeps) float64, at least 4 sweeps.

    Returns:
        (batch,) about 1 when all halves agree; 1 for a constant trace; NaN for under 4 sweeps.

    Reference:
        Gelman et al., "Bayesian data analysis", 3rd edition, section 11.4.
    """
    half = trace.shape[2] // 2
    if half < 2 or trace.numel() == 0:
        return torch.full(trace.shape[:1], torch.nan, dtype=trace.dtype, device=trace.device)
    halves = torch.cat([trace[..., :half], trace[..., -half:]], dim=1)
    within = halves.var(dim=2).mean(dim=1)
    between = halves.mean(dim=2).var(dim=1)
    ratio = (half - 1) / half + between / within
    # Nothing moved: chains that all stand on one value agree, others never will.
    still = torch.where(between > 0, torch.inf, 1.0)
    return torch.where(within > 0, ratio.sqrt(), still)


def effective_sample_size(trace: Float[Tensor, "batch chains sweeps"]) -> Float[Tensor, " batch"]:
    """Independent draws that would estimate the mean of `trace` as well.

    Autocorrelations over all chains, summed in pairs while the pairs stay positive and made
    monotone (initial monotone sequence).

    Args:
        trace: (batch, chains, sweeps) float64, at least 4 sweeps.

    Returns:
        (batch,) between about 1 and chains * sweeps (more for antithetic chains); the full number
        of draws for a constant trace; NaN for under 4 sweeps.

    Reference:
        Geyer, "Practical Markov chain Monte Carlo", 1992; Vehtari et al., "Rank-normalization,
        folding, and localization: an improved R-hat", 2021, section 3.
    """
    batch, chains, sweeps = trace.shape
    if sweeps < 4 or batch == 0:
        return torch.full((batch,), torch.nan, dtype=trace.dtype, device=trace.device)
    centred = trace - trace.mean(dim=2, keepdim=True)
    spectrum = torch.fft.rfft(centred, n=2 * sweeps, dim=2)
    autocovariance = torch.fft.irfft(spectrum.abs().square(), dim=2)[..., :sweeps] / sweeps
    within = autocovariance[..., 0].mean(dim=1) * sweeps / (sweeps - 1)
    variance = within * (sweeps - 1) / sweeps
    if chains > 1:
        variance = variance + trace.mean(dim=2).var(dim=1)
    lag = autocovariance.mean(dim=1)
    correlation = 1 - (within.unsqueeze(1) - lag) / variance.unsqueeze(1)
    correlation[:, 0] = 1.0
    even = sweeps // 2 * 2
    pairs = correlation[:, :even].reshape(batch, -1, 2).sum(dim=2)
    positive = (pairs > 0).cumprod(dim=1).bool()
    pairs = torch.where(positive, pairs, 0.0).cummin(dim=1).values
    total = chains * sweeps
    # Antithetic chains may beat independent draws, but no estimate of that is believed too far.
    time = (2 * pairs.sum(dim=1) - 1).clamp(min=1 / math.log10(total))
    return torch.where(variance > 0, total / time, float(total))


def samples_from_chains(
    model: IsingGrid,
    masks: Bool[Tensor, "batch chains height width"],
    counts: Tensor,
    energies: Float[Tensor, "batch chains sweeps"],
    method: str,
    next_sweep: int,
) -> Samples:
    """Samples with their diagnostics, from what a sampler counted and traced."""
    sweeps = energies.shape[2]
    r_hat = split_r_hat(energies)
    mean = share(counts.sum(dim=1), counts.shape[1] * sweeps)
    status = [Status.MIXED if r <= LARGEST_R_HAT else Status.UNMIXED for r in r_hat.tolist()]
    return Samples(
        masks=masks,
        mean=mean.to(model.dtype),
        counts=counts,
        energies=energies,
        r_hat=r_hat,
        effective_sample_size=effective_sample_size(energies),
        status=tuple(status),
        method=method,
        next_sweep=next_sweep,
    )


def marginals_from_chains(
    model: IsingGrid, samples: Samples, equal: dict[str, Int[Tensor, "batch rows columns"]]
) -> Marginals:
    """Shares of the kept sweeps over all chains; sampling has no estimate of log Z.

    Args:
        model: what was sampled.
        samples: what the sampler counted and traced.
        equal: by kind of coupling, int64, kept states of all chains in which the two were equal.
    """
    chains, sweeps = samples.energies.shape[1:]
    correlations = {
        name: (share(2 * equal[name], chains * sweeps) - 1).to(model.dtype)
        for name in model.couplings
    }
    return Marginals(
        probability=samples.mean,
        **correlations,
        log_partition=None,
        kind="estimate",
        status=samples.status,
        method=samples.method,
        stats={
            "r_hat": samples.r_hat,
            "effective_sample_size": samples.effective_sample_size,
            "next_sweep": samples.next_sweep,
            **samples.stats,
        },
    )


def independent_samples(
    model: IsingGrid, masks: Bool[Tensor, "batch chains height width"], method: str
) -> Samples:
    """Samples that are independent by construction: each chain is one draw."""
    batch, chains = masks.shape[:2]
    ones = torch.ones(batch, dtype=torch.float64, device=masks.device)
    return Samples(
        masks=masks,
        mean=share(masks.sum(dim=1), chains).to(model.dtype),
        counts=masks.to(torch.int32),
        energies=model.energy(masks).detach().unsqueeze(2),
        r_hat=ones,
        effective_sample_size=ones * chains,
        status=(Status.EXACT,) * batch,
        method=method,
        next_sweep=0,
    )
