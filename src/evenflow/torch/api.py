"""What a PyTorch user calls: plan, init_, check."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import torch

from evenflow.diagnose import diagnose
from evenflow.errors import InputError
from evenflow.planning.branches import require_residual
from evenflow.planning.build import build_plan
from evenflow.planning.plan import Plan
from evenflow.report.report import Report
from evenflow.torch.apply import apply_, check_fits, write_all
from evenflow.torch.calibrate import calibrate_
from evenflow.torch.inputs import Call
from evenflow.torch.losses import Loss, LossFunction
from evenflow.torch.names import ModelParameters
from evenflow.torch.noise import noise_like, noise_rows
from evenflow.torch.policies import kept_parameters
from evenflow.torch.probe import probe
from evenflow.torch.trace import Trace, trace
from evenflow.torch.weights import input_moments, parameter_moments


def plan(
    model: torch.nn.Module, inputs: Any, scheme: str = "auto", *, residual: str = "depth-scaled"
) -> Plan:
    """Decide how to initialise ``model``; nothing is written.

    ``inputs`` is a tensor, a tuple (positional) or a mapping (keywords); only shapes and types
    count, so meta tensors will do. ``scheme`` is a name from ``evenflow.schemes()``. Frozen,
    quantised, complex and already initialised parameters are left as found, and the plan says so.
    ``residual`` says what "auto" does with residual branches: "depth-scaled" (each may add 1/L of
    what its stream of L branches carries), "zero-last" (each block starts as the identity) or
    "none". What the plan will do at depth is derived, and noted where a signal would be lost.

    Raises ``InputError`` for an unknown scheme, a model without parameters, or inputs that the
    model cannot be called with.
    """
    parameters = ModelParameters(model)
    return _planned(Call.of(inputs), parameters, scheme, residual=residual)[0]


def _planned(
    call: Call,
    parameters: ModelParameters,
    scheme: str,
    *,
    calibrated: bool = False,
    residual: str = "depth-scaled",
) -> tuple[Plan, Trace]:
    choice = require_residual(residual)
    shapes = call.map(lambda tensor: tensor.to("meta"))  # a plan must not depend on the batch
    traced = trace(call.on_device_of(parameters.model), parameters, known=shapes)
    made = build_plan(
        traced.graph,
        scheme,
        kept_parameters(parameters),
        calibrated=calibrated,
        residual=choice,
        found=parameter_moments(traced.graph, parameters),
        inputs=input_moments(traced.graph, shapes),
    )
    return made, traced


def init_(
    model: torch.nn.Module,
    inputs: Any,
    scheme: str = "auto",
    *,
    seed: int | None = 0,
    calibrate: Any = None,
    residual: str = "depth-scaled",
) -> Plan:
    """Initialise ``model`` in place; returns the Plan that was applied, with its seed.

    ``scheme`` and ``residual`` are those of ``plan``. ``seed=None`` draws a fresh one.
    ``calibrate`` is "noise" (standard normal inputs of the given shape) or a real batch in the form
    of ``inputs``: each weight is then rescaled so that its output meets the plan's own second
    moment. If anything fails the model is as it was.
    """
    parameters = ModelParameters(model)
    used = secrets.randbits(63) if seed is None else seed
    call = Call.of(inputs)
    if calibrate is None:
        return apply_(_planned(call, parameters, scheme, residual=residual)[0], model, used)
    batch = _calibration_batch(calibrate, call, parameters, used)
    planned, traced = _planned(batch, parameters, scheme, calibrated=True, residual=residual)
    check_fits(planned, parameters)
    with parameters.restored_on_failure():
        applied = write_all(planned, parameters, used)
        return calibrate_(applied, traced, parameters, batch, used)


def _calibration_batch(calibrate: Any, call: Call, parameters: ModelParameters, seed: int) -> Call:
    device = next(iter(parameters.tensors.values())).device
    if device.type == "meta":
        raise InputError(
            "a model on the meta device cannot be calibrated: it has no values to measure",
            remedy="give it memory first (model.to_empty), or leave calibrate out",
        )
    if isinstance(calibrate, str):
        if calibrate != "noise":
            raise InputError(f'calibrate must be "noise" or a batch, not {calibrate!r}')
        return noise_like(call, device, seed, noise_rows(call))
    return Call.of(calibrate)


def check(
    model: torch.nn.Module,
    batch: Any,
    target: Any = None,
    loss: str | LossFunction | None = None,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    seed: int = 0,
) -> Report:
    """Measure one forward and one backward pass of ``model`` on a real batch, and diagnose it.

    ``batch`` is a tensor, a tuple (positional) or a mapping (keywords). ``loss`` is a callable
    (output, target) or one of "cross_entropy", "nll", "mse", "bce", "bce_logits"; without it the
    gradients start from a random unit cotangent drawn from ``seed``. ``select`` and ``ignore``
    name rules by code or by name. The model is left as it was found: buffers, gradients, modes
    and the random state included.
    """
    parameters = ModelParameters(model)
    call = Call.of(batch)
    if any(t.is_meta for t in [*parameters.tensors.values(), *call.tensors().values()]):
        raise InputError(
            "a check measures real values, and the meta device has none",
            remedy="give the model memory and pass a real batch; ef.plan works on meta tensors",
        )
    call.require_values()
    function = Loss.of(loss)
    record = probe(trace(call, parameters), parameters, call, target, function, seed)
    return Report(
        title=record.model,
        record=record,
        diagnosis=diagnose(record, select=select, ignore=ignore),
        versions=record.versions,
    )
