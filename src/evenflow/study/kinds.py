"""Every kind of trial that a study may want."""

from evenflow.study.support_vectors import SupportVectors
from evenflow.study.trial import Trial

AnyTrial = Trial | SupportVectors
