"""``evenflow gain``: what an activation does to second moments."""

from __future__ import annotations

import click


@click.command(short_help="Print what an activation does to second moments.")
@click.argument("activation")
@click.option("--q", type=float, default=1.0, show_default=True, help="E[z²] of the input.")
@click.option("--mean", type=float, default=0.0, show_default=True, help="E[z] of the input.")
def gain(activation: str, q: float, mean: float) -> None:
    """Print what ACTIVATION (tanh, relu, gelu …) does to second moments.

    Its input is z ~ N(mean, q − mean²). For a custom activation call ef.gain in Python.
    """
    from evenflow.theory.gain import gain as gains

    found = gains(activation, q, mean)
    rows = [
        ("E[φ]", found.mean, "mean of the output"),
        ("E[φ²]", found.second, "second moment of the output"),
        ("E_f = E[φ²]/q", found.forward, "factor on second moments forwards"),
        ("E_b = E[φ′²]", found.backward, "factor on second moments backwards"),
        ("1/√E_f", found.forward_gain, "gain that keeps the activations level"),
        ("1/√E_b", found.backward_gain, "gain that keeps the gradients level"),
        ("χ₁ = E_b/E_f", found.chi, "growth of gradients a layer where activations are level"),
        ("q-slope", found.q_slope, "above 1, deviations of q grow with depth"),
    ]
    click.echo(f"{found.activation} at q = {q:g}, mean {mean:g}, to within {found.error:.1g}\n")
    for name, value, gloss in rows:
        click.echo(f"  {name:<14} {value:>12.8g}   {gloss}")
