"""Reports to render: of a healthy network, a faulty one, a deep one and a hostile one."""

import functools
import itertools
import math
from dataclasses import replace

import numpy as np

from evenflow.diagnose.finding import Diagnosis, Finding, RuleOutcome
from evenflow.record.record import LayerRecord, Record, WeightRecord
from evenflow.report import Comparison, PlanRow, Report, Trial, to_html

from .networks import WIDTHS, measured, statistics, trained


def vanishing(record):
    """A diagnosis in the manner of the rules, from the record's own numbers."""
    first, last = record.layers[1].forward, record.layers[9].forward
    findings = (
        Finding(
            code="EF101",
            name="vanishing-forward",
            level="error",
            where="layers.9",
            measured=f"second moment {last.second_moment:.2e}",
            expected=f"about {first.second_moment:.2f}, as in the first layer",
            why="Each layer passes on a third of the variance, so that the top sees next to "
            "nothing of the input.",
            remedy='Use evenflow.init_(model, inputs, scheme="glorot").',
            source="mlp.py:12",
        ),
    )
    wrong = tuple(
        Finding(
            code="EF301",
            name="wrong-gain",
            level="warning",
            where=f"layers.{k}.weight",
            measured="standard deviation 0.0577",
            expected="standard deviation 0.1",
            why="The numbers look like the old heuristic U(±1/√n), whose variance is 1/(3n).",
            remedy="Draw from U(±0.173) instead.",
            source=f"mlp.py:{10 + k}",
        )
        for k in (2, 4, 6, 8)
    )
    return Diagnosis(
        (
            RuleOutcome("EF101", "vanishing-forward", findings),
            RuleOutcome("EF102", "exploding-forward"),
            RuleOutcome("EF301", "wrong-gain", wrong),
            RuleOutcome("EF402", "softmax-before-loss", skipped="no loss was given"),
        )
    )


def healthy():
    """A diagnosis in which every rule ran and kept silent."""
    return Diagnosis(
        (
            RuleOutcome("EF101", "vanishing-forward"),
            RuleOutcome("EF301", "wrong-gain"),
        )
    )


@functools.cache
def plain_report():
    """A check of a healthy network, and nothing beside it."""
    return Report("mlp.py:build", measured("glorot"), healthy(), versions={"evenflow": "0.1.0"})


@functools.cache
def full_report():
    """A check of the old heuristic with plan and comparison: everything a report can hold."""
    before = measured("heuristic")
    found = vanishing(before)
    plan = tuple(
        PlanRow(
            f"layers.{2 * k}.weight",
            f"U(±{math.sqrt(6 / (n + m)):.4g})",
            f"glorot: bound √6/√({n} + {m})",
        )
        for k, (n, m) in enumerate(itertools.pairwise(WIDTHS))
    )
    return Report(
        title="mlp.py:build",
        record=before,
        diagnosis=found,
        plan=plan,
        comparison=Comparison(
            before=Trial(before, found, trained("heuristic")),
            after=Trial(measured("glorot"), healthy(), trained("glorot")),
            change="All six weights were drawn anew from Glorot's uniform distribution.",
            helped=True,
            seed=0,
        ),
        command="evenflow check mlp.py:build --fix --format html --out report.html",
        versions={"evenflow": "0.1.0", "torch": "2.13.0"},
    )


@functools.cache
def deep_report(blocks=300):
    """A made-up network of ``blocks`` × (norm, linear, tanh) with a finding at every linear."""
    rng = np.random.default_rng(0)
    template = rng.normal(0, 1, (64, 32))
    layers, weights, findings = [], [], []
    scale = 1.0
    for k in range(blocks):
        scale *= math.exp(rng.normal(-0.04, 0.1))
        for op in ("layer_norm", "linear", "tanh"):
            ahead = statistics(scale * np.tanh(template) if op == "tanh" else scale * template)
            layers.append(
                LayerRecord(
                    node=f"encoder_layer_{k}_{op}",
                    layer=f"encoder.layer.{k}.{op}",
                    op=op,
                    shape=(64, 32),
                    depth=len(layers),
                    forward=ahead,
                    backward=statistics(template / scale * 1e-3),
                    parameters=(f"encoder.layer.{k}.linear.weight",) if op == "linear" else (),
                    activation="tanh" if op == "tanh" else None,
                    saturated_share=0.01 if op == "tanh" else math.nan,
                    predicted_forward=ahead.second_moment * 1.1,
                    predicted_backward=1e-6 / scale**2,
                    jacobian_singular_value=0.9,
                )
            )
        name = f"encoder.layer.{k}.linear.weight"
        weights.append(
            WeightRecord(
                name, (32, 32), "linear", True, ahead, ahead, 32, 32, layers=(layers[-2].node,)
            )
        )
        findings.append(
            Finding(
                code="EF101",
                name="vanishing-forward",
                level="error",
                where=f"encoder.layer.{k}.linear",
                measured=f"second moment {scale**2:.2e}",
                expected="about 1",
                why="The signal is lost on its way.",
                remedy=f"Scale the weight by {1 / scale:.3g}.",
            )
        )
    record = Record("deep", tuple(layers), tuple(weights), {}, None, "export")
    return Report(
        f"{blocks} blocks",
        record,
        Diagnosis((RuleOutcome("EF101", "vanishing-forward", tuple(findings)),)),
        plan=tuple(PlanRow(weight.name, "U(±0.3)", "glorot") for weight in weights),
    )


HOSTILE = '</script><img src=x onerror="window.pwned=1">\x1b[31m\u202e{{7*7}}[red]&\'"\udcff\x00'


@functools.cache
def hostile_report():
    """Names, sentences and titles that try to break out of every format."""
    report = full_report()
    layers = tuple(replace(layer, layer=HOSTILE, op=HOSTILE) for layer in report.record.layers)
    layers = (replace(layers[0], node=HOSTILE), *layers[1:])
    weights = tuple(
        replace(weight, name=f"{k}{HOSTILE}", layers=(layers[2 * k].node,))
        for k, weight in enumerate(report.record.weights)
    )
    record = replace(report.record, model=HOSTILE, layers=layers, weights=weights)
    finding = Finding(
        code="EF101",
        name=HOSTILE,
        level="error",
        where=HOSTILE,
        measured=HOSTILE,
        expected=HOSTILE,
        why=HOSTILE,
        remedy=HOSTILE,
        source=f"{HOSTILE}.py:3",
    )
    diagnosis = Diagnosis(
        (
            RuleOutcome("EF101", HOSTILE, (finding,)),
            RuleOutcome("EF102", HOSTILE, skipped=HOSTILE),
        )
    )
    return Report(
        title=HOSTILE,
        record=record,
        diagnosis=diagnosis,
        plan=(PlanRow(HOSTILE, HOSTILE, HOSTILE),),
        comparison=replace(
            report.comparison,
            before=replace(report.comparison.before, record=record, diagnosis=diagnosis),
            change=HOSTILE,
        ),
        command=HOSTILE,
        versions={HOSTILE: HOSTILE},
    )


@functools.cache
def page_of(report):
    """The page of one of the reports above, made once: ``page_of(full_report)``."""
    return to_html(report())
