"""Contract: Moments of a sum of products, in the index notation of einsum.

With x and w independent, two sums Σ_c x_c w_c and Σ_c′ x′_c′ w′_c′ have

    E = Σ_{c, c′} E[x_c x′_c′] E[w_c w′_c′],

which is a product of the two arrays of pairs, then a sum over the pairs of every index that is
summed. All matrix products, forwards, backwards and of weight gradients, are this one formula.
"""

from __future__ import annotations

from dataclasses import replace

from evenflow.graph.algebra.layout import permuted, summed
from evenflow.graph.moments import Moments


def contracted(x: Moments, y: Moments, left: str, right: str, result: str) -> Moments:
    """Σ x·y over the letters that ``result`` does not have; a letter names an axis of x or of y.

    x and y are independent.
    """
    x, left = _summed_alone(x, left, right + result)
    y, right = _summed_alone(y, right, left + result)
    letters = result + "".join(dict.fromkeys(c for c in left + right if c not in result))
    product = _spread(x, left, letters).times(_spread(y, right, letters))
    return summed(product, range(len(result), len(letters)), keep=False)


def _summed_alone(x: Moments, letters: str, elsewhere: str) -> tuple[Moments, str]:
    """Sum over letters that only this tensor has."""
    alone = [place for place, letter in enumerate(letters) if letter not in elsewhere]
    if not alone:
        return x, letters
    return summed(x, alone, keep=False), "".join(c for c in letters if c in elsewhere)


def _spread(x: Moments, letters: str, all_letters: str) -> Moments:
    """Axes in the order of ``all_letters``, of length 1 where this tensor has no such letter."""
    present = [letters.index(letter) for letter in all_letters if letter in letters]
    if present != list(range(len(letters))):
        x = permuted(x, present)
    if len(present) == len(all_letters) and x.hidden is None:
        return x
    own = iter(x.axes)
    axes = [next(own) if letter in letters else () for letter in all_letters]
    return replace(x, axes=tuple(axes), hidden=None)


def matrix_letters(left: int, right: int) -> tuple[str, str, str]:
    """Letters of torch.matmul's operands and result for tensors of these ranks."""
    batch = "abcdefghij"[: max(left, right, 2) - 2]
    ours = (batch[len(batch) - max(left - 2, 0) :] + "m" if left > 1 else "") + "k"
    theirs = batch[len(batch) - max(right - 2, 0) :] + "k" + ("n" if right > 1 else "")
    if right == 1:
        theirs = "k"
    result = batch + ("m" if left > 1 else "") + ("n" if right > 1 else "")
    return ours, theirs, result
