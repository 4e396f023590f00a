"""What a plan decides for whole models, traced from PyTorch."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evenflow.errors import InputError
from evenflow.graph.propagate import propagate
from evenflow.planning.build import build_plan
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Normal,
    Orthogonal,
)
from evenflow.planning.residual import residual_sums
from evenflow.planning.uses import uses
from evenflow.theory.gain import gain
from evenflow.torch.calibrate import planned_moments
from evenflow.torch.policies import kept_parameters

from ..tracing import graph_of, traced


def plan_of(model, *inputs, scheme="auto", **options):
    trace, parameters = traced(model, *inputs)
    return build_plan(trace.graph, scheme, kept_parameters(parameters), **options)


def variance(plan, name):
    return plan[name].distribution.second_moment


def stack(activation, depth=4, width=64):
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), activation)]
    return nn.Sequential(*layers, nn.Linear(width, 10)), torch.zeros(2, width)


def test_a_linear_stack_gets_glorots_variance():
    model, x = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 256)), torch.zeros(2, 64)
    plan = plan_of(model, x)
    assert variance(plan, "0.weight") == pytest.approx(2 / (64 + 32))
    assert variance(plan, "1.weight") == pytest.approx(2 / (32 + 256))
    assert plan["0.weight"].why == "linear: fans (64, 32), no activation before it"
    assert plan["0.bias"].distribution == Constant(0.0)
    assert plan.notes == ()


def test_relu_stacks_get_four_over_the_fans():
    model, x = stack(nn.ReLU())
    plan = plan_of(model, x)
    assert variance(plan, "0.weight") == pytest.approx(2 / (64 + 64))  # nothing before it
    for name in ("2.weight", "4.weight", "6.weight"):
        assert variance(plan, name) == pytest.approx(4 / (64 + 64))
    assert "fans (64, 10)" in plan["8.weight"].why
    assert "after relu at q = " in plan["2.weight"].why
    assert "E_f = 0.5, E_b = 0.5" in plan["2.weight"].why
    assert plan.notes[0].startswith("relu: gains taken at q = ")


def test_gains_are_those_of_the_operating_point_that_the_plan_prints():
    model, x = stack(nn.Tanh())
    plan = plan_of(model, x)
    q = float(plan["2.weight"].why.partition("q = ")[2].partition(":")[0])
    at = gain("tanh", q=q)
    expected = 2 / (64 * at.forward + 64 * at.backward)
    assert variance(plan, "2.weight") == pytest.approx(expected, rel=0.01)


def test_gains_pass_through_pools_dropout_and_reshaping():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(72, 72),
    )
    plan = plan_of(model, torch.zeros(2, 3, 8, 8))
    assert variance(plan, "5.weight") == pytest.approx(4 / (72 + 72))


def test_two_slopes_of_one_kind_have_gains_of_their_own():
    model = nn.Sequential(
        nn.Linear(32, 32),
        nn.LeakyReLU(0.1),
        nn.Linear(32, 32),
        nn.LeakyReLU(0.9),
        nn.Linear(32, 32),
    )
    plan = plan_of(model, torch.zeros(2, 32))
    for name, slope in (("2.weight", 0.1), ("4.weight", 0.9)):
        half = (1 + slope**2) / 2
        assert variance(plan, name) == pytest.approx(2 / (64 * half))


def test_a_normalisation_pins_the_operating_point():
    model = nn.Sequential(nn.Linear(32, 32), nn.LayerNorm(32), nn.Tanh(), nn.Linear(32, 32))
    plan = plan_of(model, torch.zeros(2, 32))
    at = gain("tanh", q=1.0)
    assert variance(plan, "3.weight") == pytest.approx(2 / (32 * (at.forward + at.backward)))
    assert plan["1.weight"].distribution == Constant(1.0)
    assert plan["1.weight"].why == "scale of a normalisation: neutral"
    assert plan["1.bias"].distribution == Constant(0.0)
    assert plan.notes == ()


def test_every_normalisation_is_neutral_and_buffers_are_left_out():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.BatchNorm2d(8),
        nn.GroupNorm(2, 8),
        nn.InstanceNorm2d(8, affine=True),
        nn.RMSNorm(4),
    )
    plan = plan_of(model, torch.zeros(2, 3, 4, 4))
    scales = {name for name in plan if plan[name].distribution == Constant(1.0)}
    assert scales == {"1.weight", "2.weight", "3.weight", "4.weight"}
    assert not any("running" in name for name in plan)


def test_a_prelu_starts_at_a_quarter():
    model = nn.Sequential(nn.Linear(32, 32), nn.PReLU(), nn.Linear(32, 32))
    plan = plan_of(model, torch.zeros(2, 32))
    assert plan["1.weight"].distribution == Constant(0.25)
    half = (1 + 0.25**2) / 2
    assert variance(plan, "2.weight") == pytest.approx(2 / (64 * half))


class Blocked(nn.Module):
    def __init__(self, depth=3, norm=nn.Identity, activation=nn.Identity):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(norm(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.Dropout())
            for _ in range(depth)
        )
        self.after = activation()

    def forward(self, x):
        for block in self.blocks:
            x = self.after(x + block(x))
        return x


class PostNorm(Blocked):
    def __init__(self, depth=3):
        super().__init__(depth, activation=lambda: nn.LayerNorm(16))


class EndsNormalised(nn.Module):
    """Branches whose last parameter is the scale of a normalisation, as in ResNet."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16)) for _ in range(5)
        )

    def forward(self, x):
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return x


STREAMS = {
    "bare": (Blocked, "blocks.{}.3.weight", 3),
    "normalised before": (lambda: Blocked(norm=lambda: nn.LayerNorm(16)), "blocks.{}.3.weight", 3),
    "relu after the sum": (lambda: Blocked(activation=nn.ReLU), "blocks.{}.3.weight", 3),
    "normalised after": (PostNorm, "blocks.{}.3.weight", 3),
    "normalised at the end": (EndsNormalised, "blocks.{}.1.weight", 5),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_each_of_n_branches_adds_an_nth_of_what_its_stream_carries(stream):
    build, end, count = STREAMS[stream]
    model = build()
    plan = plan_of(model, torch.zeros(8, 16))
    for block in range(count):
        assert f"ends one of {count} residual branches" in plan[end.format(block)].why
    trace, parameters = traced(model, torch.zeros(8, 16))
    derivation = propagate(trace.graph, planned_moments(plan, trace.graph, parameters))
    for each in residual_sums(derivation.graph, uses(derivation.graph)):
        branch, skip = derivation.forward[each.branch], derivation.forward[each.skip]
        assert branch.second / skip.second == pytest.approx(1 / count, rel=0.05)


def test_a_pre_norm_stream_as_large_as_its_branches_gets_one_over_root_l():
    model = Blocked(depth=12, norm=lambda: nn.LayerNorm(16))
    model.eval()  # dropout of one half doubles a branch, and the plan allows for it
    plan = plan_of(model, torch.zeros(8, 16))
    assert variance(plan, "blocks.0.3.weight") == pytest.approx(4 / 32 / 12, rel=0.1)
    dropping = plan_of(model.train(), torch.zeros(8, 16))
    assert variance(dropping, "blocks.0.3.weight") == pytest.approx(4 / 32 / 24, rel=0.1)


def test_no_branch_is_amplified():
    """A branch that adds little by itself is left as its fans say."""

    class Small(Blocked):
        def forward(self, x):
            for block in self.blocks:
                x = x + 1e-3 * block(x)
            return x

    plan = plan_of(Small(), torch.zeros(8, 16))
    assert variance(plan, "blocks.0.3.weight") == pytest.approx(4 / 32)


def test_branches_may_start_at_zero_or_be_left_alone():
    zero = plan_of(Blocked(), torch.zeros(8, 16), residual="zero-last")
    assert zero["blocks.1.3.weight"].distribution == Constant(0.0)
    assert variance(zero, "blocks.1.1.weight") > 0
    none = plan_of(Blocked(), torch.zeros(8, 16), residual="none")
    assert variance(none, "blocks.0.3.weight") == pytest.approx(4 / 32)


def test_two_streams_are_counted_apart():
    class Stages(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.down, self.narrow = Blocked(2), nn.Linear(16, 16), Blocked(4)

        def forward(self, x):
            return self.narrow(self.down(self.wide(x)))

    plan = plan_of(Stages(), torch.zeros(2, 16))
    assert "one of 2 residual" in plan["wide.blocks.0.3.weight"].why
    assert "one of 4 residual" in plan["narrow.blocks.3.3.weight"].why


def test_schemes_other_than_auto_leave_branches_alone():
    plan = plan_of(Blocked(), torch.zeros(2, 16), scheme="he")
    assert variance(plan, "blocks.0.3.weight") == pytest.approx(2 / 16)
    assert plan["blocks.0.3.weight"].why == (
        "linear: fans (16, 16), Var W = 2/n_in (He et al. 2015, eq. 10)"
    )


def test_embeddings_are_normal_and_their_padding_is_no_matter():
    plan = plan_of(nn.Embedding(20, 8, padding_idx=0), torch.zeros(2, 3, dtype=torch.long))
    assert plan["weight"].distribution == Normal(1.0)
    assert plan["weight"].why.startswith("embedding by look-up")


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(50, 16), nn.Linear(16, 50, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.table(tokens)))


@pytest.mark.parametrize("scheme", ["auto", "glorot_uniform"])
def test_a_tied_head_decides_and_both_roles_are_named(scheme):
    plan = plan_of(Tied(), torch.zeros(2, 3, dtype=torch.long), scheme=scheme)
    assert list(plan) == ["table.weight"]
    assert plan["table.weight"].distribution == Normal(0.25)
    assert plan["table.weight"].why == (
        "linear: fans (16, 50), tied to an embedding by look-up: the head decides, "
        "Var W = 1/n_in, so that the logits start level; the same tensor as head.weight"
    )


def test_packed_weights_are_planned_block_by_block():
    attention = nn.MultiheadAttention(64, 4, batch_first=True)
    x = torch.zeros(2, 5, 64)
    plan = plan_of(attention, x, x, x, scheme="glorot_normal")
    one = Normal(math.sqrt(2 / 128))
    assert plan["in_proj_weight"].distribution == Blocks(0, (64,) * 3, (one,) * 3)
    assert plan["in_proj_weight"].why.startswith("3 blocks packed, each linear: fans (64, 64)")
    assert plan["in_proj_bias"].distribution == Constant(0.0)


def test_cross_attention_is_planned_like_self_attention():
    attention = nn.MultiheadAttention(64, 4, batch_first=True)
    memory = torch.zeros(2, 6, 64)
    apart = plan_of(attention, torch.zeros(2, 5, 64), memory, memory)
    together = plan_of(attention, memory, memory, memory)
    assert apart["in_proj_weight"].distribution == together["in_proj_weight"].distribution
    assert apart["in_proj_bias"].distribution == Constant(0.0)


def test_unequal_blocks_have_variances_of_their_own():
    class GroupedQuery(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(32, 48, bias=False)

        def forward(self, x):
            q, k, v = self.qkv(x).split([32, 8, 8], dim=-1)
            return q * torch.cat([k, v, k, v], -1)

    entry = plan_of(GroupedQuery(), torch.zeros(2, 32), scheme="glorot_normal")["qkv.weight"]
    q, k, v = entry.distribution.parts
    assert q.second_moment == pytest.approx(2 / 64)
    assert k.second_moment == v.second_moment == pytest.approx(2 / 40)
    assert entry.why.startswith("3 blocks packed, linear: fans (32, 32), (32, 8), (32, 8)")


def test_half_a_weight_is_planned_as_what_is_read():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 32))

        def forward(self, x):
            return F.linear(x, self.weight[2:6])

    plan = plan_of(Half(), torch.zeros(2, 32), scheme="glorot")
    assert plan["weight"].distribution.bound == pytest.approx(math.sqrt(6 / 36))


def test_lstm_gates_are_blocks():
    plan = plan_of(nn.LSTM(24, 16), torch.zeros(3, 2, 24), scheme="glorot_normal")
    for name, fan_in in (("weight_ih_l0", 24), ("weight_hh_l0", 16)):
        assert plan[name].distribution.sizes == (16,) * 4
        part = plan[name].distribution.parts[0]
        assert part.second_moment == pytest.approx(2 / (fan_in + 16))
    assert plan["bias_hh_l0"].distribution == Constant(0.0)


def test_orthogonal_weights_by_role():
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=4), nn.Flatten(), nn.Linear(32, 10)
    )
    plan = plan_of(model, torch.zeros(2, 4, 6, 6), scheme="orthogonal")
    assert plan["0.weight"].distribution == DeltaOrthogonal(1.0)
    assert plan["1.weight"].distribution == Blocks(0, (2,) * 4, (DeltaOrthogonal(1.0),) * 4)
    assert plan["3.weight"].distribution == Orthogonal(1.0)


def test_a_weight_normalised_layer_gets_the_variance_of_a_bare_one():
    def model(change):
        return nn.Sequential(nn.Linear(32, 32), nn.ReLU(), change(nn.Linear(32, 32)))

    bare = plan_of(model(lambda layer: layer), torch.zeros(2, 32))
    normed = plan_of(model(nn.utils.parametrizations.weight_norm), torch.zeros(2, 32))
    direction, magnitude = (
        normed[f"2.parametrizations.weight.original{index}"] for index in (1, 0)
    )
    assert direction.distribution == bare["2.weight"].distribution
    length = magnitude.distribution.value
    assert length**2 / 32 == pytest.approx(variance(bare, "2.weight"))
    assert magnitude.why.startswith("length of each 32 elements of 2.parametrizations")


def test_other_parametrisations_are_left_as_found_and_named():
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
    plan = plan_of(nn.Sequential(layer, nn.Linear(8, 4)), torch.zeros(2, 8))
    assert plan["0.weight"].distribution is None
    assert plan["0.weight"].why == (
        "left as found: SpectralNorm computes the weight that the layer uses from it"
    )
    assert plan["1.weight"].distribution is not None


class Odd(nn.Module):
    """A parameter for each reason to leave one alone."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.frozen = nn.Linear(8, 8)
        self.frozen.requires_grad_(False)
        self.empty = nn.Parameter(torch.zeros(0, 8))
        self.complex = nn.Parameter(torch.zeros(8, dtype=torch.complex64))
        self.integers = nn.Parameter(torch.zeros(8, dtype=torch.int8), requires_grad=False)
        self.unread = nn.Parameter(torch.zeros(3))
        self.token = nn.Parameter(torch.zeros(1, 8))
        self.loaded = nn.Parameter(torch.zeros(8, 8))
        self.loaded._is_hf_initialized = True
        self.expanded = nn.Parameter(torch.zeros(8, 1).expand(8, 8))

    def forward(self, x):
        x = self.linear(x) + self.frozen(x) + x @ self.loaded + x @ self.expanded
        return torch.cat([x, self.token]) + self.complex.real


def test_every_reason_to_leave_a_parameter_alone_is_said():
    plan = plan_of(Odd(), torch.zeros(2, 8))
    left = {name: plan[name].why for name in plan if plan[name].distribution is None}
    assert left == {
        "frozen.weight": "left as found: frozen (requires_grad is False)",
        "frozen.bias": "left as found: frozen (requires_grad is False)",
        "empty": "left as found: it has no elements",
        "complex": "left as found: complex values have no real second moment to plan",
        "integers": "left as found: int8 values are quantised",
        "unread": "left as found: no operation reads it",
        "token": "left as found: read by cat, in no weight's role",
        "loaded": "left as found: Transformers marks it as already initialised",
        "expanded": "left as found: several of its elements lie in one place of memory "
        "(it was expanded)",
    }


def test_parameters_that_overlap_in_memory_are_written_once():
    class Overlapping(nn.Module):
        def __init__(self):
            super().__init__()
            memory = torch.zeros(3, 8, 8)
            self.first = nn.Parameter(memory[0])
            self.turned = nn.Parameter(memory[0].t())
            self.shifted = nn.Parameter(memory.view(-1)[32:96].view(8, 8))
            self.apart = nn.Parameter(memory[2])

        def forward(self, x):
            return x @ self.first @ self.turned @ self.shifted @ self.apart

    plan = plan_of(Overlapping(), torch.zeros(2, 8))
    reason = "left as found: it shares memory with first, which decides"
    assert plan["turned"].why == plan["shifted"].why == reason
    assert plan["first"].distribution is not None
    assert plan["apart"].distribution is not None


def test_position_embeddings_and_biases_by_hand_are_told_apart():
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 16))
            self.bias = nn.Parameter(torch.zeros(16))
            self.positions = nn.Parameter(torch.zeros(1, 5, 16))

        def forward(self, x):
            return (x @ self.weight + self.bias) + self.positions

    plan = plan_of(Patches(), torch.zeros(2, 5, 8))
    assert plan["bias"].distribution == Constant(0.0)
    assert plan["positions"].distribution is None


class Steep(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.last(torch.exp(self.first(x)))


def test_an_activation_that_grows_too_fast_for_a_stack_has_its_gains_at_one():
    plan = plan_of(Steep(), torch.zeros(2, 8))
    (note,) = plan.notes
    assert "has no operating point: it is infinite at z = " in note
    both = 2 * math.exp(2)  # E[exp(z)²] = e²
    assert variance(plan, "last.weight") == pytest.approx(2 / (8 * both))


def test_an_unknown_scheme_is_refused():
    graph = graph_of(nn.Linear(4, 4), torch.zeros(2, 4))
    with pytest.raises(InputError, match="there is no scheme 'magic'"):
        build_plan(graph, "magic")
