"""Taps that land inside a tensor, against counting them one by one in a real convolution."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evenflow.graph.taps import landing_taps

SIZES = {
    "length": st.integers(1, 12),
    "kernel": st.integers(1, 5),
    "stride": st.integers(1, 4),
    "padding": st.integers(0, 4),
    "dilation": st.integers(1, 3),
}


@settings(max_examples=60, deadline=None)
@given(**SIZES)
def test_a_convolution_of_ones_counts_its_taps(length, kernel, stride, padding, dilation):
    if length + 2 * padding < dilation * (kernel - 1) + 1:
        return  # no output at all
    ones = torch.ones(1, 1, length)
    out = torch.conv1d(ones, torch.ones(1, 1, kernel), None, stride, padding, dilation)
    counted = tuple(int(n) for n in out.flatten())
    assert landing_taps(length, len(counted), kernel, stride, padding, dilation) == counted


@settings(max_examples=60, deadline=None)
@given(**SIZES, more=st.integers(0, 3))
def test_a_transposed_convolution_counts_the_other_way_round(
    length, kernel, stride, padding, dilation, more
):
    out = (length - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 + more
    if out < 1 or more >= max(stride, dilation):
        return  # torch has no such layer
    y = torch.conv_transpose1d(
        torch.ones(1, 1, length),
        torch.ones(1, 1, kernel),
        None,
        stride,
        padding,
        more,
        1,
        dilation,
    )
    landed = sum(landing_taps(out, length, kernel, stride, padding, dilation))
    assert y.shape[-1] == out
    assert landed == int(y.sum())
