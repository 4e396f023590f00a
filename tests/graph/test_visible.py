"""What rows of a softmax see, against counting every pair of rows."""

import numpy as np
import pytest

from evenflow.graph.softmax.visible import causal, complement, everything, visible


def counted(seen, differ):
    """Mean over pairs of rows that differ in exactly these axes of o/(n n′)·log n_eff."""
    places = list(np.ndindex(seen.shape[:-1]))
    found = []
    for a in places:
        for b in places:
            if {axis for axis in range(len(a)) if a[axis] != b[axis]} == differ:
                n, m, o = seen[a].sum(), seen[b].sum(), (seen[a] & seen[b]).sum()
                share = o / (n * m)
                found.append(share * np.log(1 / (1 / n + 1 / m - share)))
    return np.mean(found)


def told(keys):
    return keys.weights @ np.log(keys.number)


def test_without_a_mask_every_row_sees_all():
    (keys,) = everything(12).keys.values()
    assert told(keys) == pytest.approx(np.log(12) / 12)


def test_rows_of_a_causal_mask():
    found = causal(30, 30, axis=0).keys
    seen = np.tril(np.ones((30, 30), dtype=bool))
    assert told(found[frozenset()]) == pytest.approx(counted(seen, set()), rel=1e-3)
    assert told(found[frozenset({0})]) == pytest.approx(counted(seen, {0}), rel=1e-3)


def test_padding_and_causality_together():
    lengths = np.array([12, 9, 5])[:, None, None]
    seen = np.tril(np.ones((12, 12), dtype=bool)) & (np.arange(12) < lengths)
    found = visible(~seen[:, None], 4, 3, 12)
    assert found.axes == {0, 2}
    for axes, theirs in ((set(), set()), ({0}, {0}), ({2}, {1}), ({0, 2}, {0, 1})):
        assert told(found.keys[frozenset(axes)]) == pytest.approx(counted(seen, theirs), rel=5e-3)


def test_an_expanded_mask_differs_only_where_it_does():
    seen = np.broadcast_to(np.tril(np.ones((6, 6), dtype=bool)), (4, 2, 6, 6))
    assert visible(complement(seen), 4, 3, 6).axes == {2}


def test_a_row_that_sees_nothing_sees_all_alike():
    (keys,) = visible(np.ones((1, 5), dtype=bool), 2, 1, 5).keys.values()
    assert told(keys) == pytest.approx(np.log(5) / 5)
