"""The sentence by which a number follows: "q' = n·v·q + b = 512 × 0.0039 × 0.5 + 0 = 1"."""

from __future__ import annotations

from collections.abc import Mapping

from evenflow.graph.algebra.through import operating
from evenflow.graph.graph import Node, Ref
from evenflow.graph.levels import Levels
from evenflow.graph.propagate import Derivation
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.planning.uses import Use
from evenflow.report.words import figure

_EXACT = 0.02
"""Relative difference up to which a sentence's own numbers are the derived ones."""
_NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")


def forward_sentence(derivation: Derivation, node: Node, use: Use | None) -> str:
    """How q′ = E[x²] of a result follows from what the operation reads."""
    words = _forward(derivation, node, use)
    return words and words + _unlike(derivation.levels_forward.get(node.name))


def _unlike(levels: Levels | None) -> str:
    """How far single positions are from what holds of all of them."""
    if levels is None:
        return ""
    low, high = float(levels.values.min()), float(levels.values.max())
    if high - low < _EXACT:  # of one size, but some more alike than others
        return ""
    return f"; single positions between {figure(low)} and {figure(high)} times that"


def _forward(derivation: Derivation, node: Node, use: Use | None) -> str:
    known = derivation.forward
    found = known.get(node.name)
    if found is None or node.name in derivation.sampled:
        return ""
    if use is not None and use.fan_in and use.source in known and use.parameter in known:
        return _weighted(derivation, node, use)
    sides = [known[name] for _, name in node.refs() if name in known]
    if node.activation is not None and sides:
        at = operating(sides[0], node.activation)
        return (
            f"q' = E[φ(z)²] = {figure(at.second)}, φ = {node.activation.name}, z of second moment "
            f"q = {figure(sides[0].second)}: a factor E_f = {figure(at.forward)}"
        )
    if node.op in ("add", "sub") and len(sides) == 2:
        x, y = sides
        cross = (2 if node.op == "add" else -2) * x.mean * y.mean
        if abs(x.second + y.second + cross - found.second) > _EXACT * found.second:
            cross = found.second - x.second - y.second
            terms = [x.second, y.second, cross]
            return _sum("q' = q_x + q_y + 2·E[x·y] (made by the same weights)", terms, found.second)
        return _sum("q' = q_x + q_y + 2·m_x·m_y", [x.second, y.second, cross], found.second)
    if node.op == "mul" and len(sides) == 2:
        summands = f"{figure(sides[0].second)} × {figure(sides[1].second)}"
        told = f"q' = q_x · q_y = {summands} = {figure(found.second)}"
        if abs(sides[0].second * sides[1].second - found.second) > _EXACT * found.second:
            told += " (both are larger at the same positions)"
        return told
    if node.op in _NORMS and sides:
        return (
            f"divided by the standard deviation of its input (q = {figure(sides[0].second)}), "
            f"then scaled: q' = {figure(found.second)}"
        )
    if node.op in PARTS and sides and abs(sides[0].second - found.second) > _EXACT * found.second:
        return f"some positions alone: q' = {figure(found.second)}, q = {figure(sides[0].second)}"
    if node.op in ORDER_ONLY or node.op in PARTS:
        return f"the same numbers: q' = q = {figure(found.second)}"
    return f"q' = {figure(found.second)}, by the rule of {node.op}"


def _weighted(derivation: Derivation, node: Node, use: Use) -> str:
    known = derivation.forward
    weight, x = known[use.parameter], known[use.source]
    bias = node.arguments.get("bias")
    b = known[bias.name].second if isinstance(bias, Ref) and bias.name in known else 0.0
    told = use.fan_in * weight.second * x.second + b
    second = known[node.name].second
    words = (
        f"q' = n·v·q + b = {use.fan_in:g} × {figure(weight.second)} × {figure(x.second)} + "
        f"{figure(b)} = {figure(second)}"
    )
    if abs(told - second) > _EXACT * max(second, 1e-300):
        words += " (with what the means of weights and inputs add)"
    return words


def _sum(formula: str, terms: list[float], total: float) -> str:
    return f"{formula} = {' + '.join(figure(term) for term in terms)} = {figure(total)}"


def backward_sentence(derivation: Derivation, node: Node, by_node: Mapping[str, Use]) -> str:
    """How q_δ of the gradient at a result follows from what its users send back."""
    gradient = derivation.backward.get(node.name)
    if gradient is None:
        return ""
    graph = derivation.graph
    users = [user for user in graph.users(node.name) if user.name in derivation.backward]
    sent = [_sent(derivation, node, user, by_node.get(user.name)) for user in users]
    if node.name in graph.outputs:
        sent.append("the cotangent at the output")
    unlike = _unlike(derivation.levels_backward.get(node.name))
    if len(sent) == 1:
        return f"q_δ = {sent[0]} = {figure(gradient.second)}{unlike}"
    return f"q_δ = the sum of {'; '.join(sent) or 'nothing'} = {figure(gradient.second)}{unlike}"


def _sent(derivation: Derivation, node: Node, user: Node, use: Use | None) -> str:
    arriving = derivation.backward[user.name]
    if use is not None and use.fan_out and use.parameter in derivation.forward:
        v = derivation.forward[use.parameter].second
        factors = f"{use.fan_out:g} × {figure(v)} × {figure(arriving.second)}"
        return f"n_out·v·q_δ of {user.name} = {factors}"
    if user.activation is not None and node.name in derivation.forward:
        at = operating(derivation.forward[node.name], user.activation)
        return f"E[φ′²]·q_δ of {user.name} = {figure(at.backward)} × {figure(arriving.second)}"
    return f"what {user.name} ({user.op}) sends back of {figure(arriving.second)}"
