"""Watch a training: what each layer does at a sampled step, recorded in a run."""

from evenflow.torch.watch.watch import Watch, WatchWarning, watch

__all__ = ["Watch", "WatchWarning", "watch"]
