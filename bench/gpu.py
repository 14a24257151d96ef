"""Gibbs and mean field on a CUDA device, beside what the card allows and beside others on it.

Writes bench/results/gpu.json after every row. Run by ``make gpu``, after the parity tests.
"""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

import mrfmask as mm
from bench import gibbs as gibbs_rivals
from bench import mean_field as mean_field_rivals
from bench.instances import NOT_INSTALLED, instance, version_of
from bench.roofline import Card, most_updates_per_ns
from mrfmask import _native, ops
from mrfmask.cuda_plan import Kind, Plan

RESULTS = Path(__file__).parent / "results" / "gpu.json"
# Height, width, images, chains, sweeps, and the target in updates per nanosecond on an H200. The
# ones that matter most come first.
GIBBS = (
    (100, 100, 264, 1, 100, 500),
    (100, 100, 16, 512, 100, 900),
    (350, 350, 16, 1, 100, 300),
    (375, 1242, 1, 1, 200, 150),
    (100, 100, 1, 1, 1000, None),
    (100, 100, 132, 1, 100, None),
    (350, 350, 1, 1, 200, None),
    (375, 1242, 8, 1, 100, None),
    (2048, 2048, 1, 1, 100, None),
)
MEAN_FIELD = (
    (100, 100, 264, 100, 500),
    (350, 350, 16, 100, 500),
    (375, 1242, 8, 100, None),
)
# Height, width, images and sweeps for the others: one chain an image.
OTHERS = ((100, 100, 264, 100), (350, 350, 16, 100), (100, 100, 1, 1000), (375, 1242, 1, 200))
# thrml makes an object of every pixel.
MOST_THRML_PIXELS = 10_000
# `make gpu` is to take eight minutes at most: two for the build and the parity tests (most of it
# for the CPU's answers), two and a half for both sanitizers on the small tests (mostly start and
# compilation), three for this file. A row takes a few seconds, the first one and compiled PyTorch
# more; one that has begun is finished.
SECONDS = 180
ROW_SECONDS = 10
REPEATS = 5


def milliseconds(run: Callable[[], object], limit_s: float = 1.0) -> float:
    """Shortest of several runs by the device's clock, after one to warm up."""
    run()
    times = []
    start = time.monotonic()
    while len(times) < REPEATS and (not times or time.monotonic() - start < limit_s):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return min(times)


def copy_bandwidth() -> float:
    """Gigabytes a second read and written by a copy of 1 GiB."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * 2**30 / milliseconds(lambda: target.copy_(source)) * 1e-6


def driver_and_ghz(properties: object) -> tuple[str, float]:
    """Version of the driver, and the highest clock."""
    query = ["nvidia-smi", "-i", "0", "--query-gpu=driver_version,clocks.max.sm"]
    try:
        told = subprocess.run(
            [*query, "--format=csv,noheader,nounits"], check=True, capture_output=True, text=True
        )
        driver, megahertz = told.stdout.strip().split(", ")
        return driver, float(megahertz) / 1e3
    except (OSError, subprocess.CalledProcessError, ValueError):
        return "unknown: no nvidia-smi", properties.clock_rate / 1e6


def rate_or_reason(updates: int, seconds: Callable[[], float]) -> float | str:
    """Updates per nanosecond of somebody else, or why there are none: ours must not suffer."""
    try:
        return updates / seconds() * 1e-9
    except Exception as error:
        return f"failed: {error}"[:200]


def gibbs(card: Card, height: int, width: int, images: int, chains: int, sweeps: int) -> dict:
    """Updates per nanosecond of the operator, kept and in burn-in, and of the method."""
    model = instance(height, width, 0.5, images).to("cuda")
    updates = height * width * images * chains * sweeps
    shape = (height, width, False, images * chains, card.multiprocessors, shared_bytes(), chains)
    kind, *numbers = _native.plan_gibbs(*shape, True, False, False)
    plan = Plan(Kind(kind), *numbers)
    beta = torch.ones(images, 1, dtype=torch.float64, device="cuda")
    seed = torch.arange(2 * images, device="cuda").reshape(images, 2)
    first = (model.unary, model.right, model.down, False, beta, seed, None, chains)
    offset = torch.zeros(1, dtype=torch.int64, device="cuda")
    row = {"kernel": f"{plan.kind.name.lower()} {plan.octets}"}
    for name, burn_in in (("kept", 0), ("burn_in", sweeps - 1)):
        options = (burn_in, sweeps - burn_in, offset, False, False)
        rate = updates / milliseconds(lambda o=options: ops.gibbs(*first, *o)) * 1e-6
        cost = f"chains_{name}" if plan.kind == Kind.CHAINS else name
        pixels = height * width * images
        most = most_updates_per_ns(card, plan, cost, pixels, sweeps, name == "kept", chains)
        row |= {name: rate, f"{name}_most": most, f"{name}_reached": rate / most}
    method = mm.Gibbs(sweeps=sweeps, burn_in=0, chains=chains, seed=1)
    row["method_kept"] = updates / milliseconds(lambda: method.sample(model)) * 1e-6
    return row


def gibbs_others(height: int, width: int, images: int, sweeps: int) -> dict[str, float | str]:
    """Updates per nanosecond of others on the same card, one chain an image."""
    model = instance(height, width, 0.5, images).to("cuda")
    few = max(sweeps // 10, 1)
    updates = height * width * images * few
    rates = {}
    for name, compiled in (("PyTorch", False), ("PyTorch, compiled", True)):
        run = gibbs_rivals.pytorch(model, images, few, compiled)
        rates[name] = rate_or_reason(updates, lambda run=run: milliseconds(lambda: run(1)) * 1e-3)
    for name, distribution, make in (
        ("JAX", "jax", jax_checkerboard),
        ("thrml", "thrml", gibbs_rivals.thrml_blocks),
    ):
        if NOT_INSTALLED in (version_of("jax"), version_of(distribution)):
            rates[name] = NOT_INSTALLED
        elif not jax_has_a_card():
            rates[name] = "JAX sees no card"
        elif name == "thrml" and (images > 1 or height * width > MOST_THRML_PIXELS):
            rates[name] = "takes one small image"
        else:
            run = make(model.to("cpu"), images, few)
            rates[name] = rate_or_reason(
                updates, lambda run=run: min(run(seed)[0] for seed in range(4))
            )
    return rates


def jax_has_a_card() -> bool:
    """Whether JAX would run there."""
    import jax

    return jax.default_backend() == "gpu"


def jax_checkerboard(model: mm.IsingGrid, chains: int, sweeps: int) -> gibbs_rivals.Run:
    """Dense half-sweeps of a whole batch in one jitted loop, one chain an image."""
    import jax
    import numpy as np

    jnp = jax.numpy
    unary, right, down = (jnp.asarray(t.numpy()) for t in (model.unary, model.right, model.down))
    right, down = jnp.pad(right, ((0, 0), (0, 0), (0, 1))), jnp.pad(down, ((0, 0), (0, 1), (0, 0)))
    left, up = jnp.roll(right, 1, 2), jnp.roll(down, 1, 1)
    odd = np.indices(model.shape[1:]).sum(axis=0) % 2 == 1

    def half_sweep(x, key, colour):
        across = right * jnp.roll(x, -1, 2) + left * jnp.roll(x, 1, 2)
        field = unary + across + down * jnp.roll(x, -1, 1) + up * jnp.roll(x, 1, 1)
        on = jax.random.uniform(key, x.shape) < jax.nn.sigmoid(2 * gibbs_rivals.BETA * field)
        return jnp.where(colour, jnp.where(on, 1.0, -1.0), x)

    def sweep(i, state):
        x, key = state
        key, first, second = jax.random.split(key, 3)
        return half_sweep(half_sweep(x, first, ~odd), second, odd), key

    @jax.jit
    def sample(key):
        start = jnp.where(jax.random.bernoulli(key, shape=unary.shape), 1.0, -1.0)
        return jax.lax.fori_loop(0, sweeps, sweep, (start, key))[0] > 0

    def run(seed: int) -> tuple[float, torch.Tensor]:
        key = jax.random.key(seed)
        seconds, result = gibbs_rivals.timed(lambda: jax.block_until_ready(sample(key)))
        return seconds, torch.from_numpy(np.array(result))

    return run


def mean_field(card: Card, height: int, width: int, images: int, sweeps: int) -> dict:
    """Pixel updates per nanosecond, and of PyTorch."""
    model = instance(height, width, 0.5, images).to("cuda")
    updates = height * width * images * sweeps
    kind, *numbers = _native.plan_mean_field(
        height, width, False, images, card.multiprocessors, shared_bytes()
    )
    plan = Plan(Kind(kind), *numbers)
    beta = torch.ones(images, dtype=torch.float64, device="cuda")
    potentials = (model.unary, model.right, model.down, False, beta)
    # No image may stop early: the tolerance is below any change but none at all.
    done = ops.mean_field(*potentials, None, sweeps, 0.0)[1].sum().item() * height * width
    time_ms = milliseconds(lambda: ops.mean_field(*potentials, None, sweeps, 0.0))
    most = most_updates_per_ns(card, plan, "mean_field", height * width * images, sweeps, False)
    rate = done / time_ms * 1e-6
    row = {"kernel": f"{plan.kind.name.lower()} {plan.octets}", "rate": rate}
    row |= {"sweeps_done": done / updates * sweeps, "most": most, "reached": rate / most}
    for name, make in mean_field_rivals.RIVALS.items():
        few = max(sweeps // 10, 1)
        run = make(model)
        row[name] = rate_or_reason(
            updates // sweeps * few,
            lambda run=run, few=few: milliseconds(lambda: run(few)) * 1e-3,
        )
    return row


def shared_bytes() -> int:
    """Shared memory that a block may ask for."""
    from mrfmask import cuda

    return cuda.launcher(0).shared_bytes


class Report:
    """The results, written after every row; rows that failed or had no time are named."""

    def __init__(self, path: Path, facts: dict) -> None:
        self.path, self.start = path, time.monotonic()
        self.results = {**facts, "gibbs": [], "mean_field": [], "others": []}
        self.results |= {"failed": [], "not_measured": []}

    def add(self, kind: str, work: dict, measure: Callable[[], dict]) -> None:
        """Measures a row, unless the time is up."""
        left = SECONDS - (time.monotonic() - self.start)
        if left < ROW_SECONDS:
            self.results["not_measured"].append({kind: work})
        else:
            try:
                self.results[kind].append({**work, **measure()})
                print(self.results[kind][-1], flush=True)
            except Exception as error:  # The rows that are left may still tell something.
                self.results["failed"].append({kind: work, "error": str(error)[:500]})
                print(self.results["failed"][-1], flush=True)
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.results, indent=1) + "\n")


def measure_all(card: Card, report: Report) -> None:
    """All rows: ours first, then the others, whose compilers are slow."""
    for height, width, images, chains, sweeps, target in GIBBS:
        shape = {"height": height, "width": width, "images": images}
        work = {**shape, "chains": chains, "sweeps": sweeps, "target": target}
        numbers = (height, width, images, chains, sweeps)
        report.add("gibbs", work, lambda n=numbers: gibbs(card, *n))
    for height, width, images, sweeps, target in MEAN_FIELD:
        work = {"height": height, "width": width, "images": images, "target": target}
        numbers = (height, width, images, sweeps)
        report.add("mean_field", work, lambda n=numbers: mean_field(card, *n))
    for height, width, images, sweeps in OTHERS:
        work = {"height": height, "width": width, "images": images}
        numbers = (height, width, images, sweeps)
        report.add("others", work, lambda n=numbers: gibbs_others(*n))


def main() -> None:
    """Measures everything and writes the results."""
    properties = torch.cuda.get_device_properties(0)
    driver, ghz = driver_and_ghz(properties)
    card = Card(
        multiprocessors=properties.multi_processor_count,
        ghz=ghz,
        copy_gb_per_s=copy_bandwidth(),
        l2_bytes=properties.L2_cache_size,
    )
    facts = {
        "date": datetime.date.today().isoformat(),
        "device": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "driver": driver,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cupy": version_of(f"cupy-cuda{torch.version.cuda.split('.')[0]}x"),
        "python": platform.python_version(),
        "card": asdict(card),
    }
    report = Report(RESULTS, facts)
    measure_all(card, report)
    if report.results["failed"]:
        raise SystemExit(f"{len(report.results['failed'])} rows failed: see {RESULTS}")


if __name__ == "__main__":
    main()
