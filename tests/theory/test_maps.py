"""Mean-field maps: published critical points, closed forms, and iteration."""

import math

import numpy as np
import pytest

from evenflow.errors import InputError
from evenflow.theory.activations import from_callable
from evenflow.theory.maps import (
    correlation_fixed_points,
    correlation_map,
    depth_scales,
    edge_of_chaos,
    variance_fixed_points,
    variance_map,
)


def test_variance_map() -> None:
    assert variance_map("relu", 3.0, 2.0, 0.1) == pytest.approx(3.1, rel=1e-14)
    assert variance_map("sin", 1.0, 2.0, 0.5) == pytest.approx(1.5 - math.exp(-2), rel=1e-13)


@pytest.mark.parametrize(
    ("name", "sigma_w2"), [("tanh", 1.0), ("softsign", 1.0), ("sin", 1.0), ("relu", 2.0)]
)
def test_edges_without_bias(name, sigma_w2) -> None:
    """φ′(0)⁻² for smooth odd activations, 2 for ReLU, both at every small or at every q."""
    (edge,) = edge_of_chaos(name)
    assert edge.sigma_w2 == pytest.approx(sigma_w2, rel=1e-12)
    assert edge.q == 0


def test_the_critical_line_of_tanh() -> None:
    """(1.76, 0.05) is the critical point that Schoenholz et al. and Pennington et al. work at."""
    (edge,) = edge_of_chaos("tanh", 0.05)
    assert edge.sigma_w2 == pytest.approx(1.76, abs=0.005)
    assert variance_map("tanh", edge.q, edge.sigma_w2, 0.05) == pytest.approx(edge.q, rel=1e-12)
    assert depth_scales("tanh", edge.sigma_w2, 0.05).chi == pytest.approx(1, rel=1e-9)


def test_the_critical_line_of_sine_in_closed_form() -> None:
    """E[sin²] = (1 − u)/2 and E[cos²] = (1 + u)/2, u = e⁻²q: σ_b² = q − (1 − u)/(1 + u)."""
    for q in (0.3, 1.0, 2.5):
        (edge,) = edge_of_chaos("sin", q - math.tanh(q))
        assert edge.q == pytest.approx(q, rel=1e-10)
        assert edge.sigma_w2 == pytest.approx(2 / (1 + math.exp(-2 * q)), rel=1e-10)


def test_relu_with_biases_has_no_edge() -> None:
    assert edge_of_chaos("relu", 0.1) == ()
    assert edge_of_chaos("squared_relu") == ()


def test_relu_with_biases_has_one_fixed_point() -> None:
    (point,) = variance_fixed_points("relu", 1.5, 0.1)
    assert point.value == pytest.approx(0.1 / (1 - 0.75), rel=1e-12)
    assert point.slope == pytest.approx(0.75, rel=1e-12)
    assert point.stable


def test_every_q_is_fixed_for_relu_at_2() -> None:
    (point,) = variance_fixed_points("relu", 2.0)
    assert (point.value, point.slope, point.stable) == (0.0, 1.0, False)


def test_two_fixed_points_of_tanh_in_the_chaotic_phase() -> None:
    zero, star = variance_fixed_points("tanh", 1.5)
    assert (zero.value, zero.slope, zero.stable) == (0.0, 1.5, False)
    assert star.stable
    q = 1.0
    for _ in range(100):
        q = variance_map("tanh", q, 1.5)
    assert star.value == pytest.approx(q, rel=1e-12)


@pytest.mark.parametrize("name", ["gelu", "silu", "mish"])
def test_the_fixed_point_at_q_1_is_unstable_above_a_q_slope_of_1(name) -> None:
    at_one = 1 / variance_map(name, 1.0, 1.0)
    zero, one = variance_fixed_points(name, at_one)
    assert (zero.value, zero.stable) == (0.0, True)
    assert one.value == pytest.approx(1, rel=1e-9)
    assert one.slope > 1.05
    assert not one.stable


@pytest.mark.parametrize("name", ["tanh", "gelu", "gaussian"])
def test_slopes_are_derivatives_of_the_map(name) -> None:
    h = 1e-5
    for point in variance_fixed_points(name, 2.0, 0.1):
        above, below = (variance_map(name, point.value + d, 2.0, 0.1) for d in (h, -h))
        assert point.slope == pytest.approx((above - below) / (2 * h), rel=1e-5)


def test_correlation_map_of_relu() -> None:
    """c′ = (√(1 − c²) + (π − arccos c)c)/π (Daniely et al. 2016)."""
    for c in (0.0, 0.3, 0.9, 1.0):
        exact = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi
        assert correlation_map("relu", c, 1.7, 2.0) == pytest.approx(exact, rel=1e-9)


def test_in_the_chaotic_phase_inputs_come_apart() -> None:
    star = variance_fixed_points("tanh", 3.0, 0.1)[-1]
    apart, together = correlation_fixed_points("tanh", star.value, 3.0, 0.1)
    assert apart.stable
    assert not together.stable
    assert together.value == 1.0
    c = 0.99
    for _ in range(400):
        c = correlation_map("tanh", c, star.value, 3.0, 0.1)
    assert apart.value == pytest.approx(c, rel=1e-9)


def test_without_bias_odd_activations_come_apart_entirely() -> None:
    star = variance_fixed_points("tanh", 3.0)[-1]
    assert correlation_fixed_points("tanh", star.value, 3.0)[0].value == 0.0


def test_in_the_ordered_phase_inputs_become_alike() -> None:
    (point,) = correlation_fixed_points("tanh", 0.3, 1.1, 0.1)
    assert point.value == 1.0
    assert point.stable


def test_a_hair_above_the_edge_the_second_point_is_too_near_to_tell() -> None:
    """With kinks it lies at 1 − c of the order of (slope − 1)²."""
    (edge,) = edge_of_chaos("hardtanh", 0.05)
    points = correlation_fixed_points("hardtanh", edge.q, edge.sigma_w2 * (1 + 1e-6), 0.05)
    assert [point.value for point in points] == [1.0]
    assert 1 < points[0].slope < 1 + 1e-6


def test_a_step_tears_inputs_apart() -> None:
    apart, together = correlation_fixed_points(from_callable(np.sign), 1.0, 1.0)
    assert apart.value == 0.0
    assert apart.slope == pytest.approx(2 / math.pi, rel=1e-6)
    assert together.slope == math.inf


@pytest.mark.parametrize(("sigma_w2", "sigma_b2"), [(1.3, 0.05), (2.5, 0.05), (1.7, 0.3)])
def test_depth_scales_are_those_of_iteration(sigma_w2, sigma_b2) -> None:
    scales = depth_scales("tanh", sigma_w2, sigma_b2)

    def decay(step, start, end, layers=(8, 20)):
        gaps, value = [], start
        for layer in range(layers[1] + 1):
            if layer in layers:
                gaps.append(abs(value - end))
            value = step(value)
        return (layers[1] - layers[0]) / math.log(gaps[0] / gaps[1])

    xi_q = decay(lambda q: variance_map("tanh", q, sigma_w2, sigma_b2), scales.q * 1.01, scales.q)
    assert scales.xi_q == pytest.approx(xi_q, rel=0.01)
    xi_c = decay(
        lambda c: correlation_map("tanh", c, scales.q, sigma_w2, sigma_b2),
        scales.c - 1e-3,
        scales.c,
    )
    assert scales.xi_c == pytest.approx(xi_c, rel=0.01)


def test_depth_scales_are_infinite_on_the_edge() -> None:
    scales = depth_scales("relu", 2.0)
    assert (scales.q, scales.c, scales.xi_q, scales.xi_c) == (1.0, 1.0, math.inf, math.inf)
    assert depth_scales("tanh", 1.0).xi_c == math.inf


def test_depth_scale_of_a_network_that_forgets() -> None:
    scales = depth_scales("tanh", 0.9)
    assert (scales.q, scales.c) == (0.0, 1.0)
    assert scales.xi_q == scales.xi_c == pytest.approx(-1 / math.log(0.9), rel=1e-12)


def test_a_growing_network_has_no_depth_scale() -> None:
    with pytest.raises(InputError, match="relu pre-activations grows without bound"):
        depth_scales("relu", 2.5)


@pytest.mark.parametrize(("sigma_w2", "sigma_b2"), [(0.0, 0.0), (-1.0, 0.0), (1.0, -0.1)])
def test_impossible_variances_are_refused(sigma_w2, sigma_b2) -> None:
    with pytest.raises(InputError, match="no variances"):
        variance_fixed_points("tanh", sigma_w2, sigma_b2)


def test_impossible_correlations_are_refused() -> None:
    with pytest.raises(InputError, match="a shared part"):
        correlation_map("tanh", 1.2, 1.0, 1.0)
