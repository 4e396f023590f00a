"""The labelled bank: small trainings, sound and faulty, each with the verdict that it asks for.

A *setup* is a training: a network, a task, an optimiser. A *fault* changes a sound setup into a
faulty one, so that every faulty training has its mended twin. The setups stand in one file a
family; labels are confirmed by training (``make confirm-bank``), rules are scored against them
(``make calibrate``).
"""
