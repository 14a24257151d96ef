"""Runs measured in this process, for tests that need no process of their own."""

from __future__ import annotations

from mrfmask.bench import worker
from mrfmask.bench.instances import Instance, signs_of
from mrfmask.bench.scores import Run
from mrfmask.model_files import save_model


class WorkerHere:
    """Stands in for `mrfmask.bench.measure.Worker`; remembers what it measured."""

    measured: list[tuple[str, str, dict]]

    def __init__(self, method, time_limit_s):
        self.method = method

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def measure(self, instance, options):
        self.measured.append((self.method, instance.name, options))
        return answer(instance, self.method, options, self.folder)


def answer(instance, method, options, folder):
    """What the worker process would answer."""
    path = folder / "model.npz"
    save_model(instance.model, path)
    return worker.answer({"method": method, "options": options, "model": str(path)})


def instance_of(model, name="a.npz", strength=None):
    """An instance of a model of one image."""
    return Instance(name=name, number=0, model=model, signs=signs_of(model), strength=strength)


def run_of(instance, method, folder, **options):
    """A method's run on an instance."""
    return Run(
        instance=instance,
        method=method,
        options=options,
        answer=answer(instance, method, options, folder),
    )
