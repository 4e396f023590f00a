"""Checkpoints for the tests of reading: safetensors by hand, and torch.distributed.checkpoint."""

import json

import numpy as np
from safetensors.numpy import save_file

from evenflow.checkpoint.layout import INDEX


def files(folder, tensors, per_file=2):
    """Tensors in several files with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    names, where = list(tensors), {}
    for k in range(0, len(names), per_file):
        file = f"part-{k}.safetensors"
        save_file({n: tensors[n] for n in names[k : k + per_file]}, folder / file)
        where |= dict.fromkeys(names[k : k + per_file], file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return folder


def normal(seed, *shape, std=0.02):
    """Normal values as float32."""
    return np.random.default_rng(seed).normal(0, std, shape).astype(np.float32)


def header(path, entries, data=b"", length=None):
    """A safetensors file with a header of our own."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + data)
    return path
