"""An ONNX graph while it grows, and the walk through a traced function that makes it grow."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Literal
from onnx import helper, numpy_helper

OPSET = 18
"""Operator set of the files: what ONNX Runtime 1.14 and later read."""
_IR_VERSION = 9
_CALLS = {
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "remat",
    "remat2",
    "checkpoint",
    "custom_jvp_call",
    "custom_vjp_call",
}

Known = np.ndarray
Operand = Known | str
"""A value: an array that is known while translating, or the name of one that the graph computes."""


class UntranslatableError(ValueError):
    """Something in the traced function that ONNX translation does not know; the message names it."""


class Graph:
    """Nodes and constants.

    Args:
        names: of constants, by the identity of the arrays.
    """

    def __init__(self, names: Mapping[int, str] | None = None) -> None:
        self._names = names or {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[int, tuple[str, Known]] = {}  # by identity, so the arrays have to stay
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._batch: tuple[Any, str] | None = None

    def input(self, name: str, shape: Sequence[Any], kind: np.dtype[Any]) -> str:
        """Declare an input; its dimensions are integers, but for the first of the first input: the batch."""
        if self._batch is None:
            self._batch = (shape[0], name)
        dimensions = [size if isinstance(size, int) else "batch" for size in shape]
        self._inputs.append(helper.make_tensor_value_info(name, element_type(kind), dimensions))
        return name

    def node(self, operator: str, operands: Sequence[Operand], outputs: int = 1, **attributes: Any) -> list[str]:
        """Add a node; returns the names of what it gives."""
        given = [self.named(operand) for operand in operands]
        names = [f"{operator.lower()}_{len(self._nodes)}" + (f".{k}" if k else "") for k in range(outputs)]
        self._nodes.append(helper.make_node(operator, given, names, name=names[0], **attributes))
        return names

    def one(self, operator: str, *operands: Operand, **attributes: Any) -> str:
        """Add a node that gives one value."""
        return self.node(operator, operands, **attributes)[0]

    def constant(self, array: Any) -> Known:
        """An array of the traced function, which keeps the name it has there."""
        known = np.asarray(array)
        name = self._names.get(id(array))
        if name is not None and name not in (taken for taken, _ in self._constants.values()):
            self._constants[id(known)] = name, known
        return known

    def named(self, operand: Operand) -> str:
        """The name of a value; a known one becomes a constant of the graph."""
        if isinstance(operand, str):
            return operand
        name, _ = self._constants.setdefault(id(operand), (f"constant_{len(self._constants)}", operand))
        return name

    def output(self, operand: Operand, name: str, shape: Sequence[Any], kind: Any) -> None:
        """Declare a value as an output of that name, with the batch as its first dimension."""
        self._nodes.append(helper.make_node("Identity", [self.named(operand)], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, element_type(kind), ["batch", *shape]))

    def shape(self, sizes: Sequence[Any]) -> Operand:
        """Sizes as an operand: (rank,) int64. One that is a multiple of the batch is computed when the graph runs."""
        if all(isinstance(size, int) for size in sizes):
            return np.asarray(sizes, np.int64)
        parts = [np.asarray([size], np.int64) if isinstance(size, int) else self._multiple(size) for size in sizes]
        return self.one("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def _multiple(self, size: Any) -> str:
        assert self._batch is not None
        batch, of = self._batch
        if size % batch != 0 or not isinstance(size // batch, int):
            raise UntranslatableError(f"a dimension of size {size}")
        count = self.one("Slice", self.one("Shape", of), *(np.asarray([k], np.int64) for k in (0, 1)))
        return count if size // batch == 1 else self.one("Mul", count, np.asarray([size // batch], np.int64))

    def model(self, told: Mapping[str, str]) -> onnx.ModelProto:
        """The whole, without what no output needs; ``told`` is kept as its metadata."""
        wanted = {output.name for output in self._outputs}
        nodes: list[onnx.NodeProto] = []
        for node in reversed(self._nodes):
            if wanted.intersection(node.output):
                nodes.insert(0, node)
                wanted.update(node.input)
        kept = [numpy_helper.from_array(array, name) for name, array in self._constants.values() if name in wanted]
        graph = helper.make_graph(nodes, "policy", self._inputs, self._outputs, kept)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="seemrl")
        model.ir_version = _IR_VERSION
        helper.set_model_props(model, dict(told))
        onnx.checker.check_model(model, full_check=True)
        return model


Translator = Callable[[Graph, Any, Sequence[Operand]], Sequence[Operand]]
"""From an equation of a jaxpr and its operands to what it gives."""


def element_type(kind: Any) -> int:
    """ONNX's number for a type of elements."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(kind))


def walk(
    graph: Graph,
    closed: ClosedJaxpr,
    operands: Sequence[Operand],
    translators: Mapping[str, Translator],
) -> list[Operand]:
    """Translate a traced function; what can be computed from constants alone is, with JAX.

    Raises:
        UntranslatableError: names the first primitive that has no translator.
    """
    values: dict[Any, Operand] = {}

    def read(variable: Any) -> Operand:
        if isinstance(variable, Literal):
            kind: Any = variable.aval
            return np.asarray(variable.val, kind.dtype)
        return values[variable]

    values.update(zip(closed.jaxpr.constvars, map(graph.constant, closed.consts), strict=True))
    values.update(zip(closed.jaxpr.invars, operands, strict=True))
    for equation in closed.jaxpr.eqns:
        given = [read(variable) for variable in equation.invars]
        name = equation.primitive.name
        if name in _CALLS:
            results = walk(graph, _inner(equation), given, translators)
        elif name == "scan":
            results = _unrolled(graph, equation, given, translators)
        elif all(isinstance(operand, np.ndarray) for operand in given) and not _symbolic(equation):
            results = _computed(equation, given)
        elif name in translators:
            results = translators[name](graph, equation, given)
        else:
            raise UntranslatableError(f"the primitive {name}")
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in closed.jaxpr.outvars]


def _inner(equation: Any) -> ClosedJaxpr:
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if name in equation.params:
            inner = equation.params[name]
            return inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
    raise UntranslatableError(f"the primitive {equation.primitive.name}")


def _symbolic(equation: Any) -> bool:
    """Whether a size is known only when the graph runs."""
    sizes = [size for variable in equation.outvars for size in variable.aval.shape]
    return equation.primitive.name == "dim_as_value" or any(not isinstance(size, int) for size in sizes)


def _computed(equation: Any, given: Sequence[Any]) -> list[Operand]:
    found = equation.primitive.bind(*map(jax.numpy.asarray, given), **equation.params)
    return [np.asarray(part) for part in (found if equation.primitive.multiple_results else [found])]


def _unrolled(
    graph: Graph, equation: Any, given: Sequence[Operand], translators: Mapping[str, Translator]
) -> list[Operand]:
    """A loop of known length, written out; what it stacks on the way has no use in a policy."""
    parameters = equation.params
    constants, carried = parameters["num_consts"], parameters["num_carry"]
    if len(equation.outvars) > carried:
        raise UntranslatableError("the primitive scan with stacked outputs")
    fixed, state, rows = given[:constants], list(given[constants : constants + carried]), given[constants + carried :]
    order = range(parameters["length"])
    for turn in reversed(order) if parameters["reverse"] else order:
        now = [
            row[turn] if isinstance(row, np.ndarray) else graph.one("Gather", row, np.asarray(turn), axis=0)
            for row in rows
        ]
        state = walk(graph, parameters["jaxpr"], [*fixed, *state, *map(_whole, now)], translators)
    return state


def _whole(operand: Any) -> Operand:
    return operand if isinstance(operand, str) else np.asarray(operand)
