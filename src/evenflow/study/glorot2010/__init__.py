"""Glorot and Bengio 2010, one file a figure: what each wants trained, and how it is drawn."""
