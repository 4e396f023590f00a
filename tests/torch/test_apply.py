"""Applying a plan: whole or not at all, the contract's values, and nothing else touched."""

from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import InputError, PlanError
from evenflow.planning.distributions import (
    Blocks,
    Constant,
    DeltaOrthogonal,
    Distribution,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
)
from evenflow.planning.plan import Entry, Plan
from evenflow.sampling import sample
from evenflow.torch import apply as module
from evenflow.torch.apply import apply_, write

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=CUDA)]
DISTRIBUTIONS = [
    Uniform(0.5),
    Normal(0.02),
    TruncatedNormal(0.02),
    Constant(0.25),
    Orthogonal(2.0),
    Blocks(0, (2, 4), (Normal(1.0), Orthogonal())),
]


def model():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))


def plan_for(network, distribution: Distribution | None = None):
    entries = {
        name: Entry(tuple(p.shape), distribution or Normal(1.0), "") for name, p in _named(network)
    }
    return Plan("by hand", entries)


def _named(network):
    return network.named_parameters()


def values(network):
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def as_numpy(tensor):
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
def test_written_values_are_the_contracts(distribution, dtype, device):
    tensor = torch.empty(6, 5, dtype=getattr(torch, dtype), device=device)
    write(tensor, distribution, 11, "layer.weight")
    expected = sample(distribution, (6, 5), seed=11, name="layer.weight", dtype=dtype)
    assert np.array_equal(as_numpy(tensor), expected)


def test_convolutions_of_every_rank():
    tensor = torch.empty(6, 5, 3, 3)
    write(tensor, DeltaOrthogonal(), 1, "conv")
    expected = sample(DeltaOrthogonal(), (6, 5, 3, 3), seed=1, name="conv")
    assert np.array_equal(tensor.numpy(), expected)


LAYOUTS = {
    "turned": lambda: torch.zeros(5, 6).t(),
    "every other column": lambda: torch.zeros(6, 10)[:, ::2],
    "inside a larger one": lambda: torch.zeros(9, 9)[1:7, 2:7],
    "channels last": lambda: torch.zeros(6, 5, 3, 3).to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", LAYOUTS)
def test_strided_tensors_get_the_same_values(case, dtype):
    like = LAYOUTS[case]()
    strided = torch.empty_strided(like.shape, like.stride(), dtype=dtype)
    write(strided, Normal(1.0), 3, "w")
    plain = torch.empty(like.shape, dtype=dtype)
    write(plain, Normal(1.0), 3, "w")
    assert torch.equal(strided, plain)
    assert not strided.is_contiguous()


def test_what_lies_beside_a_strided_tensor_is_left_alone():
    memory = torch.zeros(9, 9)
    write(memory[1:7, 2:7], Constant(1.0), 0, "w")
    assert memory.sum() == 30


def test_scalars_and_empty_tensors():
    scalar, empty = torch.zeros(()), torch.zeros(0, 4)
    write(scalar, Normal(1.0), 5, "scale")
    assert scalar.item() == sample(Normal(1.0), (), seed=5, name="scale").item()
    write(empty, Normal(1.0), 5, "empty")


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(4, dtype=torch.complex64), "complex64 cannot be filled"),
        (torch.zeros(4, dtype=torch.int8), "int8 cannot be filled"),
        (torch.zeros(4, device="meta"), "meta device has no memory"),
        (torch.zeros(4, 1).expand(4, 4), "one place of memory"),
    ],
    ids=["complex", "integers", "meta", "expanded"],
)
def test_what_cannot_be_filled_is_refused(tensor, said):
    with pytest.raises(InputError, match=said) as error:
        write(tensor, Constant(1.0), 0, "w")
    assert error.value.where == "w"
    assert error.value.remedy


def test_a_plan_is_applied_with_the_seed_that_it_returns():
    network = model()
    applied = plan_for(network).apply_(network, seed=9)
    assert applied.seed == 9
    for name, parameter in network.named_parameters():
        expected = sample(Normal(1.0), tuple(parameter.shape), seed=9, name=name)
        assert np.array_equal(parameter.detach().numpy(), expected)


def test_a_plan_that_was_applied_before_keeps_its_seed():
    first, second = model(), model()
    applied = plan_for(first).apply_(first)  # a fresh one
    assert 0 <= applied.seed < 2**63
    assert applied.apply_(second).seed == applied.seed
    torch.testing.assert_close(dict(second.named_parameters()), dict(first.named_parameters()))


def test_fresh_seeds_differ():
    network = model()
    assert plan_for(network).apply_(network).seed != plan_for(network).apply_(network).seed


def test_what_a_plan_leaves_as_found_is_not_touched():
    network = model()
    before = values(network)
    plan = plan_for(network)
    plan["0.*"] = None
    plan.apply_(network, seed=0)
    for name in ("0.weight", "0.bias", "1.running_mean", "1.num_batches_tracked"):
        assert torch.equal(network.state_dict()[name], before[name])
    assert not torch.equal(network[2].weight, before["2.weight"])


def test_tied_parameters_are_written_once_under_their_first_name():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    plan_for(network).apply_(network, seed=2)
    expected = sample(Normal(1.0), (4, 4), seed=2, name="0.weight")
    assert np.array_equal(network[1].weight.detach().numpy(), expected)


def test_every_difference_is_named_and_nothing_written():
    network = model()
    plan = plan_for(network)
    del plan.entries["2.bias"]
    plan.entries["0.weight"] = Entry((4, 6), Normal(1.0), "")
    plan.entries["tail.weight"] = Entry((1,), Normal(1.0), "")
    before = values(network)
    with pytest.raises(PlanError) as error:
        plan.apply_(network, seed=0)
    assert str(error.value).startswith(
        "Sequential: the plan does not fit the model in 3 places:\n"
        "  the model has no parameter tail.weight\n"
        "  0.weight has shape (6, 4), in the plan (4, 6)\n"
        "  the plan says nothing of 2.bias\n"
    )
    torch.testing.assert_close(values(network), before)


def test_types_and_devices_that_cannot_be_written_are_differences():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].to("meta")
    network[1].weight = nn.Parameter(torch.zeros(2, 2, dtype=torch.complex64))
    with pytest.raises(PlanError, match="in 3 places") as error:
        plan_for(network).apply_(network, seed=0)
    assert "0.weight is on the meta device" in str(error.value)
    assert "1.weight has type torch.complex64" in str(error.value)
    left = plan_for(network)
    left["0.*"] = None
    left["1.weight"] = None
    left.apply_(network, seed=0)  # what is left as found may be anything


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True])
def test_a_bad_seed_changes_nothing(seed):
    network = model()
    before = values(network)
    with pytest.raises(InputError, match="seed"):
        plan_for(network).apply_(network, seed=seed)
    torch.testing.assert_close(values(network), before)


def test_a_distribution_that_does_not_fit_changes_nothing():
    network = model()
    before = values(network)
    plan = plan_for(network)
    plan["2.bias"] = Orthogonal()  # the last to be written, and a vector
    with pytest.raises(InputError, match="no meaning for the shape"):
        plan.apply_(network, seed=0)
    torch.testing.assert_close(values(network), before)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_half_way_puts_everything_back(error):
    network = model()
    before = values(network)
    calls = []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise error
        write(*arguments)

    with mock.patch.object(module, "write", failing), pytest.raises(error):
        apply_(plan_for(network), network, 0)
    assert len(calls) == 4
    torch.testing.assert_close(values(network), before)


def test_modes_flags_gradients_and_the_random_state_are_left_as_found():
    network = model().eval()
    network[0].weight.requires_grad_(False)
    network[2].weight.grad = torch.ones(2, 6)
    network[0].register_forward_hook(lambda *_: None)
    identities = [id(p) for p in network.parameters()]
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()  # noqa: NPY002
    plan_for(network).apply_(network, seed=0)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
    assert not any(m.training for m in network.modules())
    assert [p.requires_grad for p in network.parameters()] == [False] + [True] * 5
    assert torch.equal(network[2].weight.grad, torch.ones(2, 6))
    assert [id(p) for p in network.parameters()] == identities
    assert all(p.is_leaf for p in network.parameters())
    assert len(network[0]._forward_hooks) == 1


def test_a_write_counts_as_one_so_that_autograd_sees_it():
    network = model()
    plan = plan_for(network)
    plan["0.weight"] = None
    versions = {name: p._version for name, p in network.named_parameters()}
    loss = network(torch.ones(3, 4)).square().sum()
    plan.apply_(network, seed=0)
    assert network[0].weight._version == versions["0.weight"]
    assert network[2].weight._version == versions["2.weight"] + 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_models_made_under_inference_mode_can_be_written():
    with torch.inference_mode():
        network = nn.Linear(4, 4)
    plan_for(network).apply_(network, seed=0)
    assert np.array_equal(
        network.weight.detach().numpy(), sample(Normal(1.0), (4, 4), seed=0, name="weight")
    )


def test_init_leaves_a_failing_model_as_it_was():
    network = model()
    before = values(network)
    with pytest.raises(InputError, match="there is no scheme"):
        ef.init_(network, torch.ones(3, 4), scheme="magic")
    with pytest.raises(InputError, match="cannot be called"):
        ef.init_(network, torch.ones(3, 5))
    torch.testing.assert_close(values(network), before)
