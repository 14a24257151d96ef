"""Forked workers, many calls, many threads: what long-running programs do."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import pytest
import torch
from strategies import random_grid
from torch.utils.data import DataLoader, Dataset

from mrfmask import find_map, marginals, sample


class Masks(Dataset):
    """Cuts and samples in the worker."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index):
        model = random_grid(2, 20, 30, seed=index)
        return find_map(model).mask, sample(model, sweeps=5, seed=index).masks


# Newer Pythons warn of any fork in a process with threads; that this one is safe is the promise.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_workers_answer_as_the_parent_does():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = [Masks()[i] for i in range(8)]  # threads have run here before the fork
        loader = DataLoader(Masks(), num_workers=2, multiprocessing_context="fork", timeout=60)
        for (mask, drawn), (cut, states) in zip(loader, expected, strict=True):
            assert torch.equal(mask[0], cut)
            assert torch.equal(drawn[0], states)
    finally:
        torch.set_num_threads(threads)


def test_threads_of_the_caller_do_not_disturb_each_other():
    models = [random_grid(3, 25, 31, seed=i) for i in range(6)]
    expected = [(find_map(m).mask, sample(m, sweeps=5, seed=1).masks) for m in models]
    results = {}

    def work(i):
        results[i] = find_map(models[i]).mask, sample(models[i], sweeps=5, seed=1).masks

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, (mask, states) in enumerate(expected):
        assert torch.equal(results[i][0], mask)
        assert torch.equal(results[i][1], states)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_calls_do_not_grow():
    model = random_grid(1, 16, 16)

    def calls(count):
        for _ in range(count):
            find_map(model, method="graph_cut")
            marginals(model, method="mean_field", max_sweeps=2)
            sample(model, sweeps=1, burn_in=0)

    calls(500)
    gc.collect()
    before = resident_bytes()
    calls(3300)
    gc.collect()
    # A leak of one 16x16 mask a call would be 2.5 MB; what allocators keep is less.
    assert resident_bytes() - before < 2_000_000
