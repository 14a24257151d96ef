"""Ctrl-C stops native loops at once, whatever the number of threads."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

# A shell that runs a command in the background lets it ignore Ctrl-C.
CODE = """
import signal, torch, mrfmask as mm
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads({threads})
model = mm.IsingGrid(torch.zeros(4, 200, 200), torch.ones(4, 200, 199), torch.ones(4, 199, 200))
ring = (torch.arange(3000)[:, None] + torch.tensor([[0, 1, 0, 70]])).reshape(-1, 2) % 3000
graph = mm.IsingGraph(torch.randn(4, 3000), ring, torch.randn(4, 6000))
{first}
print("ready", flush=True)
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
CALLS = {
    "gibbs": "mm.sample(model, sweeps=10**6)",
    "kawasaki": "mm.sample(model, sweeps=10**6, budget=0.1)",
    "annealing": "mm.Annealing(sweeps=10**6)(model)",
    "strips": "mm.Strips(rows=10)(mm.IsingGrid(torch.zeros(8, 200, 200), "
    "torch.randn(8, 200, 199), torch.randn(8, 199, 200)))",
    "budget_path": "mm.budget_path(mm.IsingGrid(torch.randn(16, 600, 600), "
    "4 * torch.rand(16, 600, 599), 4 * torch.rand(16, 599, 600)))",
    "min_marginals": "mm.min_marginals(mm.IsingGrid(torch.randn(16, 600, 600), "
    "torch.rand(16, 600, 599), torch.rand(16, 599, 600)))",
}
# The kernels of these are compiled before: the loops themselves are to stop.
ON_GRAPHS = {
    "gibbs on a graph": "mm.sample(graph, sweeps={sweeps})",
    "belief_propagation": "mm.marginals(graph, 'belief_propagation', max_sweeps={sweeps}, "
    "tolerance=1e-300)",
}
CALLS |= {name: call.format(sweeps=10**7) for name, call in ON_GRAPHS.items()}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_stops_a_long_run(name, threads):
    first = ON_GRAPHS.get(name, "").format(sweeps=1)
    code = CODE.format(threads=threads, call=CALLS[name], first=first)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "ready\n"
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=20)
    assert out == "interrupted\n"
