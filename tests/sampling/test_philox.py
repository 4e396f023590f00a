"""The generator against its published answers, and the order in which its words are used."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evenflow.sampling.contract import Key, key
from evenflow.sampling.philox import philox, words_at


@pytest.mark.parametrize(
    ("counter", "key_words", "answer"),
    [  # Random123, kat_vectors, philox4x32-10
        (
            "00000000 00000000 00000000 00000000",
            "00000000 00000000",
            "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        ),
        (
            "ffffffff ffffffff ffffffff ffffffff",
            "ffffffff ffffffff",
            "408f276d 41c83b0e a20bc7c6 6d5451fd",
        ),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter: str, key_words: str, answer: str) -> None:
    words = [np.array([int(word, 16)], np.uint64) for word in counter.split()]
    made = philox(*words, Key(*(int(word, 16) for word in key_words.split())))
    assert " ".join(f"{int(word[0]):08x}" for word in made) == answer


def test_an_element_is_a_word_of_a_counter_of_its_group() -> None:
    some = key(3, "weight")
    for index in (0, 31, 32, 127, 128, 1000, 2**34 + 77, 2**40 + 5):
        counter = 32 * (index // 128) + index % 32
        words = [np.array([n], np.uint64) for n in (counter % 2**32, counter // 2**32, 1, 0)]
        expected = philox(*words, some)[(index // 32) % 4]
        assert words_at(np.array([index], np.uint64), some, stream=1) == expected


def test_bytes_are_uniform() -> None:
    words = words_at(np.arange(1 << 20, dtype=np.uint64), key(0, "weight"))
    for shift in (0, 8, 16, 24):
        counts = np.bincount((words >> np.uint32(shift)).astype(np.uint8), minlength=256)
        assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    "other", [key(1, "h.0.weight"), key(0, "h.1.weight"), key(0, "h.0.bias")], ids=str
)
def test_neighbouring_keys_share_no_bits(other: Key) -> None:
    index = np.arange(1 << 18, dtype=np.uint64)
    mine, theirs = words_at(index, key(0, "h.0.weight")), words_at(index, other)
    differing = np.unpackbits((mine ^ theirs).view(np.uint8).reshape(-1, 4), axis=1).mean(axis=0)
    assert np.abs(differing - 0.5).max() < 4.5 * 0.5 / np.sqrt(index.size)


@pytest.mark.parametrize("lag", [1, 2, 31, 32, 33, 64, 127, 128, 129, 1024])
def test_neighbouring_elements_are_independent(lag: int) -> None:
    index = np.arange(1 << 18, dtype=np.uint64)
    some = key(5, "weight")
    here = words_at(index, some).astype(np.float64)
    there = words_at(index + np.uint64(lag), some).astype(np.float64)
    assert abs(np.corrcoef(here, there)[0, 1]) < 4.5 / np.sqrt(index.size)
