"""What each primitive of JAX is in ONNX: one small translator each, for those that policies are made of."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from seemrl.exporting.graph import Graph, Operand, Translator, UntranslatableError, element_type

TRANSLATORS: dict[str, Translator] = {}


def _translates(*names: str) -> Callable[[Translator], Translator]:
    def kept(translator: Translator) -> Translator:
        TRANSLATORS.update(dict.fromkeys(names, translator))
        return translator

    return kept


_SAME_OPERANDS = {
    **{"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow"},
    **{"neg": "Neg", "abs": "Abs", "sign": "Sign", "floor": "Floor", "ceil": "Ceil"},
    **{"exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tanh": "Tanh"},
    **{"logistic": "Sigmoid", "erf": "Erf", "and": "And", "or": "Or", "not": "Not"},
    **{"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"},
    **{"stop_gradient": "Identity", "copy": "Identity", "copy_p": "Identity"},
}
"""Operators of the same operands and the same meaning."""


def _same(operator: str) -> Translator:
    return lambda graph, equation, given: [graph.one(operator, *given)]


TRANSLATORS.update({name: _same(operator) for name, operator in _SAME_OPERANDS.items()})


def _scalar(value: float, like: Any) -> np.ndarray:
    return np.asarray(value, like.aval.dtype)


def _axes(numbers: Sequence[Any]) -> np.ndarray:
    return np.asarray(numbers, np.int64)


@_translates("ne")
def _ne(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Not", graph.one("Equal", *given))]


@_translates("rsqrt")
def _rsqrt(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Reciprocal", graph.one("Sqrt", *given))]


@_translates("square")
def _square(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Mul", given[0], given[0])]


@_translates("integer_pow")
def _integer_pow(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    if equation.params["y"] == 2:
        return [graph.one("Mul", given[0], given[0])]
    return [graph.one("Pow", given[0], _scalar(equation.params["y"], equation.outvars[0]))]


@_translates("erfc")
def _erfc(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Sub", _scalar(1, equation.outvars[0]), graph.one("Erf", *given))]


@_translates("expm1")
def _expm1(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Sub", graph.one("Exp", *given), _scalar(1, equation.outvars[0]))]


@_translates("log1p")
def _log1p(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Log", graph.one("Add", given[0], _scalar(1, equation.outvars[0])))]


@_translates("clamp")
def _clamp(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    low, values, high = given
    return [graph.one("Min", graph.one("Max", values, low), high)]


@_translates("select_n")
def _select_n(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    which, *cases = given
    if len(cases) != 2 or equation.invars[0].aval.dtype != np.bool_:
        raise UntranslatableError(f"the primitive select_n of {len(cases)} cases")
    if equation.outvars[0].aval.dtype != np.bool_:
        return [graph.one("Where", which, cases[1], cases[0])]
    one, other = graph.one("And", which, cases[1]), graph.one("And", graph.one("Not", which), cases[0])
    return [graph.one("Or", one, other)]  # ONNX Runtime has no Where of truth values


@_translates("is_finite")
def _is_finite(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Not", graph.one("Or", graph.one("IsInf", *given), graph.one("IsNaN", *given)))]


@_translates("dim_as_value")
def _dim_as_value(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    """A size that is known when the graph runs, as a number."""
    size = graph.one("Squeeze", graph.shape([equation.params["dim"]]), _axes([0]))
    return [graph.one("Cast", size, to=element_type(equation.outvars[0].aval.dtype))]


@_translates("convert_element_type")
def _convert(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Cast", given[0], to=element_type(equation.params["new_dtype"]))]


@_translates("broadcast_in_dim")
def _broadcast(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    wanted, places = equation.params["shape"], equation.params["broadcast_dimensions"]
    sizes = dict(zip(places, equation.invars[0].aval.shape, strict=True))
    new = [axis for axis in range(len(wanted)) if axis not in sizes]
    values = graph.one("Unsqueeze", given[0], _axes(new)) if new else given[0]
    # a size that is there already may be asked for as 1, so that fewer are computed
    grown = [1 if sizes.get(axis, 1) == size else size for axis, size in enumerate(wanted)]
    return [values if all(size == 1 for size in grown) else graph.one("Expand", values, graph.shape(grown))]


@_translates("reshape")
def _reshape(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    sizes = equation.params["new_sizes"]
    unknown = [size for size in sizes if not isinstance(size, int)]
    if len(unknown) == 1:
        sizes = [size if isinstance(size, int) else -1 for size in sizes]
    return [graph.one("Reshape", given[0], graph.shape(sizes))]


@_translates("squeeze")
def _squeeze(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Squeeze", given[0], _axes(equation.params["dimensions"]))]


@_translates("transpose")
def _transpose(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Transpose", given[0], perm=list(equation.params["permutation"]))]


@_translates("concatenate")
def _concatenate(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    return [graph.one("Concat", *given, axis=equation.params["dimension"])]


@_translates("stack")
def _stack(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    axis = equation.params["axis"]
    return [graph.one("Concat", *(graph.one("Unsqueeze", part, _axes([axis])) for part in given), axis=axis)]


@_translates("split")
def _split(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[str]:
    sizes = equation.params["sizes"]
    return graph.node("Split", [given[0], _axes(sizes)], len(sizes), axis=equation.params["axis"])


@_translates("slice")
def _slice(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    starts, stops = equation.params["start_indices"], equation.params["limit_indices"]
    steps = equation.params["strides"] or (1,) * len(starts)
    return [_cut(graph, equation, given[0], starts, stops, steps)]


def _cut(graph: Graph, equation: Any, values: Operand, starts: Any, stops: Any, steps: Any) -> Operand:
    """A part of an array; along dimensions that are kept whole nothing is asked for, so they may be of any size."""
    sizes = equation.invars[0].aval.shape
    cut = [
        axis
        for axis, size in enumerate(sizes)
        if not (isinstance(starts[axis], int) and starts[axis] == 0 and stops[axis] == size and steps[axis] == 1)
    ]
    if not cut:
        return values
    if any(not isinstance(number[axis], int) for number in (starts, stops) for axis in cut):
        raise UntranslatableError(f"the primitive {equation.primitive.name} along the batch")
    return graph.one(
        "Slice",
        values,
        *(_axes([part[axis] for axis in cut]) for part in (starts, stops)),
        _axes(cut),
        _axes([steps[axis] for axis in cut]),
    )


@_translates("top_k")
def _top_k(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    values, places = graph.node("TopK", [given[0], _axes([equation.params["k"]])], 2, axis=-1)
    return [values, graph.one("Cast", places, to=element_type(equation.outvars[1].aval.dtype))]


@_translates("gather")
def _gather(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    """One slice at a known place, or whole slices along one axis: what indexing with numbers is traced as."""
    numbers, places = equation.params["dimension_numbers"], given[1]
    if isinstance(places, str) or numbers.operand_batching_dims:
        raise UntranslatableError("the primitive gather at places that are computed")
    if places.ndim == 1:
        return [_one_slice(graph, equation, given[0], places)]
    return [_whole_slices(graph, equation, given[0], places)]


def _one_slice(graph: Graph, equation: Any, values: Operand, places: np.ndarray) -> Operand:
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    whole = equation.invars[0].aval.shape
    starts = [0] * len(whole)
    for axis, place in zip(numbers.start_index_map, places.tolist(), strict=True):
        starts[axis] = min(max(place, 0), whole[axis] - sizes[axis])
    stops = [start + size if start else size for start, size in zip(starts, sizes, strict=True)]
    part = _cut(graph, equation, values, starts, stops, [1] * len(whole))
    dropped = numbers.collapsed_slice_dims
    return graph.one("Squeeze", part, _axes(dropped)) if dropped else part


def _whole_slices(graph: Graph, equation: Any, values: Operand, places: np.ndarray) -> Operand:
    numbers, whole = equation.params["dimension_numbers"], equation.invars[0].aval.shape
    axis = numbers.start_index_map[0]
    others = tuple(k for k in range(len(whole)) if k != axis)
    sizes = tuple(1 if k == axis else size for k, size in enumerate(whole))
    plain = numbers.collapsed_slice_dims == (axis,) and equation.params["slice_sizes"] == sizes
    inside = places.shape[1:] == (1,) and bool(((places >= 0) & (places < whole[axis])).all())
    if not plain or not inside or numbers.offset_dims != others:
        raise UntranslatableError("the primitive gather of parts of slices")
    return graph.one("Gather", values, np.ascontiguousarray(places[:, 0], np.int64), axis=axis)


def _reduces(operator: str) -> Translator:
    return lambda graph, equation, given: [graph.one(operator, given[0], _axes(equation.params["axes"]), keepdims=0)]


TRANSLATORS.update(
    {
        "reduce_sum": _reduces("ReduceSum"),
        "reduce_max": _reduces("ReduceMax"),
        "reduce_min": _reduces("ReduceMin"),
        "reduce_prod": _reduces("ReduceProd"),
    }
)


@_translates("argmax", "argmin")
def _arg(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    operator = {"argmax": "ArgMax", "argmin": "ArgMin"}[equation.primitive.name]
    (axis,) = equation.params["axes"]
    found = graph.one(operator, given[0], axis=axis, keepdims=0)
    return [graph.one("Cast", found, to=element_type(equation.params["index_dtype"]))]


@_translates("dot_general")
def _dot_general(graph: Graph, equation: Any, given: Sequence[Operand]) -> list[Operand]:
    (left, right), batches = equation.params["dimension_numbers"]
    ranks = [variable.aval.ndim for variable in equation.invars]
    if ranks != [2, 2] or batches != ((), ()) or len(left) != 1:
        raise UntranslatableError(f"the primitive dot_general of arrays with {ranks[0]} and {ranks[1]} dimensions")
    first = given[0] if left[0] == 1 else graph.one("Transpose", given[0], perm=[1, 0])
    second = given[1] if right[0] == 0 else graph.one("Transpose", given[1], perm=[1, 0])
    return [graph.one("MatMul", first, second)]
