"""What every inference method is: a frozen record of options that can be called on a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Literal

from mrfmask.graph import IsingGraph
from mrfmask.inference.on_graph import map_on_graph, marginals_on_graph, samples_on_graph
from mrfmask.ising import IsingModel
from mrfmask.model import IsingGrid

Answer = Literal["map", "marginals", "sample"]
FUNCTIONS: dict[Answer, str] = {"map": "find_map", "marginals": "marginals", "sample": "sample"}
ON_GRAPH = {"find_map": map_on_graph, "marginals": marginals_on_graph, "sample": samples_on_graph}


class Method:
    """Base of the methods; each is a frozen, keyword-only dataclass in a file of its own.

    A method has a function for each thing it answers: ``find_map(model) -> MapResult``,
    ``marginals(model) -> Marginals``, ``sample(model) -> Samples``. Calling it gives its first
    answer.

    Attributes:
        name: its key in METHODS.
        answers: which of "map", "marginals" and "sample" it gives, the main one first.
        exact: whether its answers are exact for the models it accepts.
        devices: device types that it runs on.
        needs: which models it accepts, for tables and messages.
        graphs: whether it takes an IsingGraph as well as an IsingGrid.
        diagonals: whether it has code of its own for grids with diagonals. If not, a method that
            takes graphs is given such a grid as a graph, and any other refuses it.
        graph_devices: those of its devices on which it takes graphs.
    """

    name: ClassVar[str]
    answers: ClassVar[tuple[Answer, ...]]
    exact: ClassVar[bool]
    devices: ClassVar[tuple[str, ...]]
    needs: ClassVar[str]
    graphs: ClassVar[bool] = False
    diagonals: ClassVar[bool] = False
    graph_devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    def __init_subclass__(cls) -> None:
        # The one place where grids with diagonals turn into graphs: no method can forget it.
        super().__init_subclass__()
        for function, on_graph in ON_GRAPH.items():
            if function in vars(cls) and cls.graphs and not cls.diagonals:
                setattr(cls, function, _through_graph(vars(cls)[function], on_graph))
        if "accepts" in vars(cls) and not cls.diagonals:
            cls.accepts = staticmethod(_of_graph(cls, cls.accepts))

    def __call__(self, model: IsingModel) -> Any:
        """The method's main answer for a model."""
        return getattr(self, FUNCTIONS[self.answers[0]])(model)

    def check_model(self, model: IsingModel) -> None:
        """Raises unless `model` is of a kind and on a device that the method takes."""
        if not isinstance(model, IsingGrid | IsingGraph):
            raise TypeError(
                f"model must be an IsingGrid or IsingGraph; got {type(model).__name__}. "
                "Build one from potentials or load_model(path)."
            )
        if isinstance(model, IsingGraph) and not self.graphs:
            raise TypeError(
                f"model must be an IsingGrid for {self.name}; got an IsingGraph. Choose a method "
                "that takes graphs, e.g. method='ilp' for a mask or 'gibbs' for samples."
            )
        if not self.diagonals:
            check_no_diagonals(model, self.name)
        graph = isinstance(model, IsingGraph)
        devices = [d for d in self.devices if not graph or d in self.graph_devices]
        if model.device.type not in devices:
            kind = f"{self.name} on a graph" if graph else self.name
            raise RuntimeError(
                f"model must be on {' or '.join(devices)} for {kind}; got {model.device}. "
                f"Call model.to({devices[0]!r})."
            )


def check_grid(model: IsingModel, user: str) -> None:
    """Raises unless the model is a grid without diagonals, which is all that `user` takes."""
    if not isinstance(model, IsingGrid):
        raise TypeError(
            f"model must be an IsingGrid; got {type(model).__name__}. Build one from potentials or "
            "load_model(path)."
        )
    check_no_diagonals(model, user)


def check_no_diagonals(model: IsingModel, user: str) -> None:
    """Raises if the model is a grid with diagonals, which `user` would otherwise leave out."""
    if isinstance(model, IsingGrid) and model.has_diagonals:
        raise ValueError(
            f"model must have no diagonals for {user}; got {model!r}. Choose a method that takes "
            "them, e.g. 'gibbs', 'mean_field', 'annealing', 'graph_cut' or 'ilp'."
        )


def _through_graph(function: Callable, on_graph: Callable) -> Callable:
    """The function, which takes graphs, for grids with diagonals, too."""

    @wraps(function)
    def with_diagonals(self: Method, model: IsingModel) -> Any:
        if isinstance(model, IsingGrid) and model.has_diagonals:
            return on_graph(lambda graph: function(self, graph), model)
        return function(self, model)

    return with_diagonals


def _of_graph(method: type[Method], accepts: Callable) -> Callable:
    """What a method accepts, asked of the graph where the model is a grid with diagonals."""

    @wraps(accepts)
    def with_diagonals(model: IsingModel) -> bool:
        if isinstance(model, IsingGrid) and model.has_diagonals:
            return method.graphs and accepts(model.as_graph())
        return accepts(model)

    return with_diagonals


def check_positive(name: str, value: Any) -> None:
    """Raises unless an option is a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number; got {type(value).__name__}. Use a float.")
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite; got {value}. Choose another number.")


def check_count(name: str, value: Any, least: int, most: int = 2**31 - 1) -> None:
    """Raises unless an option is an int within its limits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int; got {type(value).__name__}. Use int(...).")
    if not least <= value <= most:
        raise ValueError(
            f"{name} must lie in {least}..{most}; got {value}. Choose a number in this range."
        )


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raises unless an option is one of the strings it may be."""
    if value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}. "
            "Check the spelling."
        )
