"""Names of a model's tensors: the same whatever wraps the model."""

import pytest
import torch
from torch import nn

import evenflow as ef
from evenflow.errors import InputError
from evenflow.torch.names import ModelParameters, unwrap


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.body(x))


PARAMETERS = ("body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias")
PARAMETERS += ("head.weight", "head.bias")


def compiled(module):
    return torch.compile(module, backend="eager")


def wrapped_inside(wrap):
    model = Net()
    model.body = wrap(model.body)
    return model


WRAPPED = {
    "bare": lambda: Net(),
    "DataParallel": lambda: nn.DataParallel(Net()),
    "compiled": lambda: compiled(Net()),
    "compiled DataParallel": lambda: compiled(nn.DataParallel(Net())),
    "DataParallel of compiled": lambda: nn.DataParallel(compiled(Net())),
    "a compiled part": lambda: wrapped_inside(compiled),
    "a DataParallel part": lambda: wrapped_inside(nn.DataParallel),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_names_are_those_of_the_bare_model(case):
    parameters = ModelParameters(WRAPPED[case]())
    assert parameters.names == PARAMETERS
    assert set(parameters.tensors) == {*PARAMETERS, *(f"body.1.{name}" for name in BUFFERS)}
    assert isinstance(parameters.model, Net)


@pytest.mark.parametrize("case", WRAPPED)
def test_plans_and_weights_are_those_of_the_bare_model(case):
    model, bare = WRAPPED[case](), Net()
    x = torch.zeros(3, 4)
    assert ef.init_(model, x, seed=3).entries == ef.init_(bare, x, seed=3).entries
    for name in PARAMETERS:
        assert torch.equal(ModelParameters(model).tensor(name), bare.get_parameter(name))


BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def test_distributed_data_parallel_is_looked_through(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        assert ModelParameters(nn.parallel.DistributedDataParallel(Net())).names == PARAMETERS
    finally:
        torch.distributed.destroy_process_group()


def test_only_modules_are_models():
    with pytest.raises(InputError, match=r"must be a torch\.nn\.Module, not type"):
        unwrap(Net)
    model = Net()
    assert unwrap(model) is model


def test_tied_tensors_stand_under_their_first_name():
    model = Net()
    model.head.weight = model.body[0].weight
    parameters = ModelParameters(model)
    assert parameters.names == tuple(n for n in PARAMETERS if n != "head.weight")
    assert parameters.describe("head.weight").name == "body.0.weight"
    assert parameters.describe("body.0.weight").aliases == ("head.weight",)
    assert parameters.tensor("head.weight") is model.body[0].weight


def test_views_of_the_same_memory_are_tied_too():
    model = Net()
    model.head.weight = nn.Parameter(model.body[0].weight.data)
    assert model.head.weight is not model.body[0].weight
    assert ModelParameters(model).describe("body.0.weight").aliases == ("head.weight",)


def test_empty_tensors_and_those_without_memory_are_not_tied():
    model = nn.Module()
    model.first, model.second = (nn.Parameter(torch.zeros(0, 4)) for _ in range(2))
    assert ModelParameters(model).names == ("first", "second")
    assert len(ModelParameters(Net().to("meta")).names) == len(PARAMETERS)


def test_a_tensor_is_found_by_raw_and_by_canonical_name():
    model = wrapped_inside(compiled)
    parameters = ModelParameters(model)
    weight = model.body._orig_mod[0].weight
    assert parameters.tensor("body._orig_mod.0.weight") is weight
    assert parameters.tensor("body.0.weight") is weight


def test_descriptions_say_what_the_graph_needs():
    model = Net().double()
    model.head.weight.requires_grad_(False)
    described = ModelParameters(model).describe_with_buffers()
    head, mean = described["head.weight"], described["body.1.running_mean"]
    assert (head.shape, head.dtype, head.trainable, head.buffer) == (
        (4, 4),
        "float64",
        False,
        False,
    )
    assert mean.buffer


def test_two_parameters_of_one_canonical_name_are_refused():
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(2))
    model.module = nn.Module()
    model.module.weight = nn.Parameter(torch.ones(2))
    with pytest.raises(InputError, match=r"module\.weight and weight are both called weight"):
        ModelParameters(model)


def test_an_adapters_layer_keeps_the_layers_own_name():
    class Adapted(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.base_layer = layer
            self.down = nn.Linear(4, 1)

    model = Net()
    model.head = Adapted(model.head)
    names = ModelParameters(model).names
    assert "head.weight" in names
    assert "head.down.weight" in names


def test_a_lazy_module_must_have_run():
    model = nn.Sequential(nn.LazyLinear(4))
    with pytest.raises(InputError, match="no shape yet") as error:
        ModelParameters(model)
    assert error.value.where == "0.weight"
    model(torch.zeros(2, 3))
    assert ModelParameters(model).names == ("0.weight", "0.bias")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_values_are_put_back_when_something_fails(error):
    model = Net()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def fail_half_way():
        with ModelParameters(model).restored_on_failure(), torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(7)
            raise error

    with pytest.raises(error):
        fail_half_way()
    torch.testing.assert_close(dict(model.state_dict()), before)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_values_stay_when_nothing_fails():
    model = Net()
    with ModelParameters(model).restored_on_failure(), torch.no_grad():
        model.head.weight.fill_(7)
    assert bool((model.head.weight == 7).all())
