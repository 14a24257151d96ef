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


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_stops_a_long_run(name, threads):
    code = CODE.format(threads=threads, call=CALLS[name])
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "ready\n"
        time.sleep(0.5)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=20)
    assert out == "interrupted\n"
