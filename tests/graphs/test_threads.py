"""Threads over the items of a batch, and Ctrl-C: in them, and in kernels of the main thread."""

from __future__ import annotations

import _thread
import operator
import signal
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from mrfmask import BeliefPropagation, Exact, IsingGraph
from mrfmask.graphs import blocks, forests, min_fill
from mrfmask.graphs.pairs import pairs_of
from mrfmask.graphs.threads import each_item, in_thread, may_stop
from mrfmask.inference import message_passing

RING = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2], [1, 3]])


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def ctrl_c():
    """A function: Ctrl-C a moment after it is called. Not before kernels are compiled, which is not
    to be interrupted: numba would not go on from there."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.2)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def run_until_stopped() -> None:
    while True:
        may_stop()
        time.sleep(1e-3)


def test_each_item_stops_the_others_when_one_fails(two_threads):
    def run(item: int) -> None:
        if item == 1:
            raise ValueError("item 1")
        run_until_stopped()

    with pytest.raises(ValueError, match="item 1"):
        each_item(run, 3)


def test_each_item_stops_on_ctrl_c(two_threads, ctrl_c):
    ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        each_item(lambda _: run_until_stopped(), 2)


def test_each_item_within_an_item_starts_no_more_threads(two_threads):
    found = set()

    def inner(_: int) -> None:
        found.add(threading.get_ident())

    def outer(item: int) -> None:
        before = set(found)
        if item == 0:
            each_item(inner, 4)
            assert found - before == {threading.get_ident()}

    each_item(outer, 2)


def test_in_thread_raises_what_its_function_raises():
    def fail() -> None:
        raise ValueError("in a thread")

    assert in_thread(threading.get_ident) != threading.get_ident()
    with pytest.raises(ValueError, match="in a thread"):
        in_thread(fail)


@pytest.mark.parametrize("schedule", ["colour", "residual"])
@pytest.mark.parametrize("batch", [1, 2])
def test_belief_propagation_stops_on_ctrl_c(schedule, batch, two_threads, monkeypatch, ctrl_c):
    monkeypatch.setattr(message_passing, "PATIENCE", {"colour": 1000, "residual": 1000})
    # Messages that never come to rest.
    model = IsingGraph(torch.full((batch, 4), 0.3), RING, torch.full((batch, 6), -3.0))
    method = BeliefPropagation(schedule=schedule, tolerance=1e-300, max_sweeps=2**31 - 1)
    replace(method, max_sweeps=1)(model)
    ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        method(model)


@pytest.mark.parametrize("schedule", ["colour", "residual"])
def test_messages_do_not_depend_on_looks_at_ctrl_c(schedule, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    unary = torch.randn(2, 4, generator=generator)
    model = IsingGraph(unary, RING, 0.5 * torch.randn(2, 6, generator=generator))
    whole = BeliefPropagation(schedule=schedule)(model)
    monkeypatch.setattr(message_passing, "PATIENCE", {"colour": 24, "residual": 24})
    parts = BeliefPropagation(schedule=schedule)(model)
    # Of messages that would change as much, another one may come first.
    torch.testing.assert_close(whole.pairwise, parts.pairwise, rtol=0, atol=1e-8)
    if schedule == "colour":
        assert torch.equal(whole.stats["sweeps"], parts.stats["sweeps"])


@pytest.mark.parametrize("kernel", ["heaviest forest", "tree blocks"])
def test_forests_pass_ctrl_c_on(kernel):
    pairs = pairs_of(RING, 4)
    forest, weight = forests.empty_forest(4), np.ones(6)
    call = partial(blocks._grow, *pairs.rows, weight, *forest)
    if kernel == "heaviest forest":
        used, order = np.zeros(6, dtype=np.bool_), np.arange(6)
        call = partial(forests._grow, order, pairs.first, pairs.second, *pairs.rows, used, *forest)
    call()
    forest.parent[:] = -2
    # Both from C, so that the interpreter cannot look for signals between the two.
    with pytest.raises(KeyboardInterrupt):
        list(map(operator.call, [_thread.interrupt_main, call]))


def test_orders_are_sought_in_a_thread(monkeypatch):
    # The kernel returns arrays, and would turn Ctrl-C into a SystemError in the main thread.
    threads, kernel = [], min_fill._eliminate

    def eliminate(*arguments):
        threads.append(threading.current_thread())
        return kernel(*arguments)

    monkeypatch.setattr(min_fill, "_eliminate", eliminate)
    Exact().find_map(IsingGraph(torch.zeros(1, 4), RING, torch.ones(1, 6)))
    assert threads
    assert threading.main_thread() not in threads
