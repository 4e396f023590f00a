"""The Record: what one forward and one backward pass of a real network measured, layer by layer.

Plain values only, so that rules and reports need no framework and a Record can be stored as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Histogram:
    """Counts over equal cells from ``low`` to ``high``; what lies outside is in the end cells."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Statistics:
    """One tensor in numbers. Shares are of all elements, in [0, 1]; NaN means not measurable."""

    count: int
    mean: float
    variance: float
    second_moment: float
    """E[x²] over all elements."""
    minimum: float
    maximum: float
    percentile_2: float
    percentile_98: float
    nonfinite: int
    """How many elements are NaN or infinite; the other figures are of the finite ones."""
    zero_share: float
    histogram: Histogram
    correlation: float = float("nan")
    """Share of the second moment common to all examples, s_B/q: 0 where unlike, 1 where equal.

    Unbiased, so it may fall a little below 0.
    """
    unit_mean_square: float = float("nan")
    """Mean over units of (mean over examples and positions)²; large beside q where means shift."""
    effective_rank: float = float("nan")
    """Participation ratio (tr C)²/tr C² of the units' uncentred second-moment matrix C."""


@dataclass(frozen=True)
class LayerRecord:
    """One operation's output: forwards, and the loss's gradient with respect to it."""

    node: str
    """Name of the operation in the Graph."""
    layer: str
    """Qualified name of the module that the operation stands in ("" at the top)."""
    op: str
    """What the operation does, in the Graph's words: "linear", "conv", "tanh", "batch_norm" …"""
    shape: tuple[int, ...]
    depth: int
    """Position in execution order."""
    forward: Statistics
    backward: Statistics | None = None
    """Statistics of ∂C/∂(this output); None where no gradient flowed."""
    parameters: tuple[str, ...] = ()
    """Canonical names of the parameters that the operation reads."""
    activation: str | None = None
    """For an activation: its name in the catalogue."""
    saturated_share: float = float("nan")
    """For an activation that saturates: share of elements where |φ′| < 0.1 · max|φ′|."""
    dead_share: float = float("nan")
    """For an activation: share of units whose φ′ is 0 on every example and position."""
    predicted_forward: float = float("nan")
    """Second moment that the Derivation gives; NaN where an operation stands in the way."""
    predicted_backward: float = float("nan")
    obstacle: str = ""
    """Which operation stands in the way of a prediction, "" where there is one."""
    jacobian_singular_value: float = float("nan")
    """Mean singular value of ∂(this output)/∂(the previous layer's output), for one example."""
    inputs: tuple[str, ...] = ()
    """What the operation reads: nodes of this Record, directly or through operations that are not
    recorded, and names of the model's inputs. Values that rest on no input (parameters, buffers,
    constants) are left out, so a node that depends on parameters alone has none. Rules follow the
    signal by these names; without them (in no layer at all) rules that need its path are skipped.
    """
    source: str = ""
    """File and line of the user's code: "model.py:31"."""


@dataclass(frozen=True)
class WeightRecord:
    """One parameter: its values, its gradient, and what the layer's use of it asks for."""

    name: str
    """Canonical qualified name."""
    shape: tuple[int, ...]
    role: str
    """How the graph uses it: "linear", "conv", "conv_transpose", "bilinear", "recurrent",
    "embedding", "bias", "scale", "shift", "other" or "unused"."""
    trainable: bool
    values: Statistics
    gradient: Statistics | None = None
    fan_in: int = 0
    """True fan-in (number of terms summed into one output); 0 where not defined."""
    fan_out: int = 0
    gain_forward: float = float("nan")
    """E_f of the activation before the weight at its operating point (1 where there is none)."""
    gain_backward: float = float("nan")
    layers: tuple[str, ...] = ()
    """Nodes that read it."""
    duplicate_of: str = ""
    """Name of an earlier parameter with identical values, "" if none."""
    row_duplicates: float = float("nan")
    """Share of output rows that equal another row (symmetric weights)."""
    kurtosis: float = float("nan")
    """E[w⁴]/E[w²]²: 3 normal, 1.8 uniform; a truncated normal between."""


@dataclass(frozen=True)
class LossRecord:
    """The loss at the start, and what would be expected of a network that knows nothing."""

    value: float
    kind: str
    """"cross_entropy", "nll", "mse", "bce", "bce_logits", "custom" or "" (random cotangent)."""
    chance: float = float("nan")
    """Loss of a constant guess: log(classes), the target's variance …; NaN where unknown."""
    final_activation: str = ""
    """Last activation before the output, where there is one: "softmax", "sigmoid", "relu" …"""
    classes: int = 0
    target_low: float = float("nan")
    """Range of the targets, where these are numbers."""
    target_high: float = float("nan")


@dataclass(frozen=True)
class Record:
    """Everything that one check measured."""

    model: str
    layers: tuple[LayerRecord, ...]
    weights: tuple[WeightRecord, ...]
    inputs: dict[str, Statistics]
    loss: LossRecord | None
    trace: str
    """How the graph was had: "export" or "module walk: <why>"."""
    versions: dict[str, str] = field(default_factory=dict)
