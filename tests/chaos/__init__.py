"""Chaos: real gateways, a real Redis, the simulator, clients in every mode, and everything that can be done to them.

A seed gives a plan (`schedule`), the nemesis carries it out on the cluster, clients call meanwhile and write down what
they said and heard (`history`); when all is healed, every job is read by every road, and the checker (`checks`), which
is pure, judges the history. `python -m tests.chaos --help`; docs/testing.md says how to read what comes out.
"""
