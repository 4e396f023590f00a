"""One example of every operation that has a rule: shapes and plain arguments, no values yet."""

from dataclasses import dataclass, field

from evenflow.graph.graph import Graph, Node, Ref
from evenflow.graph.rules import Step
from evenflow.graph.rules.shape import ORDER_ONLY, PARTS
from evenflow.theory.activations import Activation, find


@dataclass(frozen=True)
class Example:
    """An operation, the shapes of its tensors by argument, its result's, and other arguments."""

    op: str
    tensors: dict[str, tuple[int, ...]]
    shape: tuple[int, ...]
    plain: dict[str, object] = field(default_factory=dict)
    activation: Activation | None = None
    joined: tuple[str, ...] = ()
    """Tensors that come as one argument "tensors"."""

    def step(self, moments) -> Step:
        """The operation on its own, on tensors of these Moments by argument name."""
        arguments = {name: Ref(name) for name in self.tensors if name not in self.joined}
        if self.joined:
            arguments["tensors"] = tuple(Ref(name) for name in self.joined)
        node = Node(
            "result", self.op, arguments | self.plain, self.shape, activation=self.activation
        )
        graph = Graph(inputs=self.tensors, parameters={}, nodes=(node,), outputs=("result",))
        return Step(graph, node, moments)


def _examples():
    x, vector = (8, 6, 10), (10,)
    for op in sorted(ORDER_ONLY):
        yield Example(op, {"input": x}, (8, 60))
    for op in sorted(PARTS):
        yield Example(op, {"input": x}, (8, 3, 10))
    for op in ("expand", "expand_as", "repeat"):
        yield Example(op, {"input": (8, 1, 10)}, x)
    for op in ("cat", "concat", "stack"):
        yield Example(op, {"a": x, "b": (8, 2, 10)}, (8, 8, 10), joined=("a", "b"))
    for op in ("pad", "constant_pad_nd"):
        yield Example(op, {"input": x}, (8, 9, 10), {"value": -0.5})
    for op in ("add", "sub", "rsub"):
        yield Example(op, {"input": x, "other": vector}, x, {"alpha": 0.7})
    yield Example("mul", {"input": x, "other": vector}, x)
    yield Example("div", {"input": x}, x, {"other": -3})
    yield Example("neg", {"input": x}, x)
    yield Example("detach", {"input": x}, x)
    yield Example("activation", {"input": x}, x, activation=find("tanh"))
    yield Example("prelu", {"input": x, "weight": (1,)}, x)
    for op in ("dropout", "feature_dropout"):
        yield Example(op, {"input": x}, x, {"p": 0.25, "train": True})
    for kind in ("zeros", "ones"):
        for op in (kind, f"{kind}_like", f"new_{kind}"):
            yield Example(op, {}, x)
    for op in ("full", "full_like", "new_full"):
        yield Example(op, {}, x, {"fill_value": 0.3})
    yield from _linear(x)
    yield from _normalised()
    yield from _pooled()


def _linear(x):
    yield Example("linear", {"input": x, "weight": (12, 10), "bias": (12,)}, (8, 6, 12))
    yield Example("matmul", {"input": x, "other": (10, 12)}, (8, 6, 12))
    yield Example("mm", {"input": (8, 10), "mat2": (10, 12)}, (8, 12))
    yield Example("bmm", {"input": x, "mat2": (8, 10, 12)}, (8, 6, 12))
    yield Example("addmm", {"input": (12,), "mat1": (8, 10), "mat2": (10, 12)}, (8, 12))
    yield Example("baddbmm", {"input": (1,), "batch1": x, "batch2": (8, 10, 12)}, (8, 6, 12))
    yield Example("embedding", {"weight": (20, 10)}, x)
    bilinear = {"input1": (8, 10), "input2": (8, 6), "weight": (4, 10, 6), "bias": (4,)}
    yield Example("bilinear", bilinear, (8, 4))
    yield Example("_weight_norm", {"v": (12, 10), "g": (12, 1)}, (12, 10))
    for axes in (1, 2, 3):
        sizes = (9,) * axes
        conv = {"input": (2, 4, *sizes), "weight": (6, 2) + (3,) * axes, "bias": (6,)}
        strided = {"stride": (2,) * axes, "padding": (1,), "dilation": 1, "groups": 2}
        yield Example(f"conv{axes}d", conv, (2, 6) + (5,) * axes, strided)
        turned = {"input": (2, 4, *sizes), "weight": (4, 3) + (3,) * axes, "bias": (6,)}
        yield Example(f"conv_transpose{axes}d", turned, (2, 6) + (17,) * axes, strided)


def _normalised():
    image, affine = (4, 6, 5, 5), {"weight": (6,), "bias": (6,)}
    running = {"running_mean": (6,), "running_var": (6,)}
    yield Example("batch_norm", {"input": image, **affine, **running}, image, {"training": True})
    yield Example("instance_norm", {"input": image, **affine}, image, {"use_input_stats": True})
    yield Example("group_norm", {"input": image, **affine}, image, {"num_groups": 3, "eps": 1e-5})
    for op in ("layer_norm", "rms_norm"):
        tensors = {"input": (8, 3, 6), "weight": (6,)}
        yield Example(op, tensors, (8, 3, 6), {"normalized_shape": (6,)})


def _pooled():
    for axes in (1, 2, 3):
        tensors, shape = {"input": (2, 4) + (8,) * axes}, (2, 4) + (4,) * axes
        window = {"kernel_size": (3,), "stride": 2, "padding": 1}
        yield Example(f"avg_pool{axes}d", tensors, shape, window | {"count_include_pad": True})
        yield Example(f"max_pool{axes}d", tensors, shape, window)
        yield Example(f"adaptive_avg_pool{axes}d", tensors, (2, 4) + (3,) * axes)
        yield Example(f"adaptive_max_pool{axes}d", tensors, (2, 4) + (3,) * axes)
        if axes > 1:
            yield Example(f"max_pool{axes}d_with_indices", tensors, shape, window)
    yield Example("mean", {"input": (8, 6, 10)}, (8, 10), {"dim": (1,)})
    yield Example("sum", {"input": (8, 6, 10)}, (8, 6), {"dim": (-1,)})


EXAMPLES = {example.op: example for example in _examples()}
