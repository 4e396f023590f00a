"""``evenflow init``: initialise a model and write its weights to disk."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from evenflow.cli.target import TARGET_HELP, residual_option, target_options

if TYPE_CHECKING:
    from evenflow.planning.plan import Plan
    from evenflow.sampling import Dtype

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
          "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}  # fmt: skip
_DTYPES: dict[str, Dtype] = {
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp64": "float64",
}
_FOLDER_ONLY = ("max_shard_size", "dtype", "jobs", "host")


def _bytes(_ctx: click.Context, _option: click.Parameter, value: str) -> int:
    """A size such as 5GB or 512MiB."""
    match = re.fullmatch(r"([0-9]+)\s*([KMGT]I?)?B?", value.strip().upper())
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{value!r} is no size: write 5GB, or 512MiB")
    return int(match[1]) * _UNITS[match[2] or ""]


def _host(_ctx: click.Context, _option: click.Parameter, value: str) -> tuple[int, int]:
    """One of several, such as 2/8."""
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise click.BadParameter(f"{value!r} is not one of several: write 1/4 to 4/4")
    return int(match[1]), int(match[2])


@click.command(epilog=TARGET_HELP, short_help="Initialise TARGET and write its weights to disk.")
@target_options
@click.option("--scheme", metavar="NAME", help="Rule from fans and gains.  [default: auto]")
@residual_option
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Apply this stored plan instead of a scheme.",
)
@click.option(
    "--calibrate",
    type=click.Choice(["noise", "inputs"]),
    help="Correct for finite width on standard normal noise or on the inputs (single file only).",
)
@click.option(
    "--out",
    metavar="DIR|FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder of a checkpoint, or a single .safetensors file.",
)
@click.option(
    "--max-shard-size",
    metavar="SIZE",
    callback=_bytes,
    default="5GB",
    show_default=True,
    help="Bytes of weights in one file of the folder at most.",
)
@click.option(
    "--dtype", type=click.Choice(list(_DTYPES)), help="Type of the weights.  [default: the model's]"
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=lambda: os.cpu_count() or 1,
    show_default="processors",
    metavar="N",
    help="Threads. The bytes do not depend on it.",
)
@click.option(
    "--host",
    metavar="I/N",
    callback=_host,
    default="1/1",
    show_default=True,
    help="Write the i-th of n shares: run the same command on n hosts.",
)
@click.pass_context
def init(
    ctx: click.Context,
    spec: str,
    inputs: str | None,
    seed: int,
    scheme: str | None,
    residual: str | None,
    plan_file: Path | None,
    calibrate: Literal["noise", "inputs"] | None,
    out: Path,
    max_shard_size: int,
    dtype: str | None,
    jobs: int,
    host: tuple[int, int],
) -> None:
    """Initialise TARGET and write its weights: to a checkpoint folder, or to a .safetensors file.

    A folder is written straight to disk, for models larger than memory, in the form that
    Transformers loads: from_pretrained(DIR). Killed half-way, the same command finishes it.

    A single file holds canonical names: the same with and without DistributedDataParallel or
    torch.compile. A tied tensor is stored once; safetensors.torch.load_model puts it back under
    every name.
    """
    from evenflow.planning.plan import Plan

    if plan_file is not None and (scheme or residual or calibrate):
        raise click.UsageError(
            "--plan already says it all: leave --scheme, --residual and --calibrate out"
        )
    stored = Plan.load(plan_file) if plan_file is not None else None
    how = scheme or "auto", residual or "depth-scaled"
    if out.suffix == ".safetensors":
        for name in _FOLDER_ONLY:
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                flag = "--" + name.replace("_", "-")
                raise click.UsageError(f"{flag} is for a folder: --out DIR")
        _write_file(spec, inputs, seed, stored or how, calibrate, out)
        return
    if calibrate:
        raise click.UsageError(
            "--calibrate runs the whole model in memory: --out weights.safetensors"
        )
    plan = stored or _planned(spec, inputs, seed, how)
    _write_folder(spec, seed, plan, out, max_shard_size, dtype, jobs, host)


def _write_file(
    spec: str,
    inputs: str | None,
    seed: int,
    how: Plan | tuple[str, str],
    calibrate: Literal["noise", "inputs"] | None,
    out: Path,
) -> None:
    from evenflow.cli.console import console, print_plan, working
    from evenflow.cli.target import load
    from evenflow.planning.plan import Plan
    from evenflow.torch import api
    from evenflow.torch.weights_file import save_weights

    with working("initialising"):
        target = load(spec, inputs, seed)
        if isinstance(how, Plan):
            applied = how.apply_(target.model, seed)
        else:
            scheme, residual = how
            batch = target.inputs if calibrate == "inputs" else calibrate
            applied = api.init_(
                target.model, target.inputs, scheme, seed=seed, calibrate=batch, residual=residual
            )
        save_weights(target.model, out)
    print_plan(applied)
    console().print(f"Weights written: {out}", soft_wrap=True)


def _planned(spec: str, inputs: str | None, seed: int, how: tuple[str, str]) -> Plan:
    from evenflow.cli.console import working
    from evenflow.cli.target import load
    from evenflow.torch import api

    with working("planning"):
        target = load(spec, inputs, seed, meta=True)
        return api.plan(target.model, target.inputs, how[0], residual=how[1])


def _write_folder(
    spec: str,
    seed: int,
    plan: Plan,
    folder: Path,
    largest: int,
    dtype: str | None,
    jobs: int,
    host: tuple[int, int],
) -> None:
    from evenflow.checkpoint.layout import said_bytes
    from evenflow.checkpoint.write import job_for, write_checkpoint
    from evenflow.cli.console import byte_progress, console, working
    from evenflow.cli.target import load_weightless
    from evenflow.torch.checkpoint_items import items_of, type_named

    with working("laying out"):
        model, beside = load_weightless(spec, seed)
        kind = type_named(_DTYPES[dtype]) if dtype else None
        items = items_of(plan, model, kind)
        job = job_for(items, folder, seed=seed, max_shard_size=largest, beside=beside, host=host)
    total = sum(part.size for part in job.own)
    with byte_progress("writing") as progress:
        written = write_checkpoint(job, jobs=jobs, progress=lambda done: progress(done, total))
    said = f"{len(written.files)} files written"
    if written.kept:
        said += f", {len(written.kept)} were there already"
    if written.missing:
        said += f"; {len(written.missing)} of other hosts are still to come"
    click.echo(f"{folder}: {len(items)} tensors, {said_bytes(total)}, seed {seed}: {said}.")
    console().print(f"Checkpoint written: {folder}", soft_wrap=True)
