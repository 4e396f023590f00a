"""The one exception family: every error says what is wrong, where, and what to do about it."""

from __future__ import annotations


class EvenflowError(Exception):
    """Base of everything that evenflow raises on purpose.

    ``what`` is the fault in one sentence, ``where`` the file, parameter or operation that has it,
    ``remedy`` what the user can do. The three make up the message.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        head = f"{where}: {what}" if where else what
        super().__init__(f"{head}\n  Remedy: {remedy}" if remedy else head)


class InputError(EvenflowError):
    """The user's input (a file, a name, a value, a batch) cannot be used; nothing was changed."""


class ActivationError(EvenflowError):
    """A callable is no activation whose Gaussian moments exist."""


class NoRuleError(EvenflowError):
    """An operation stands in the graph for which the calculus has no rule."""


class PlanError(EvenflowError):
    """A plan is malformed, of another version, or made for another model."""
