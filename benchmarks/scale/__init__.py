"""What an installation holds: a formula of measured costs, and a simulation of queues that checks it.

`costs` are what one job takes of each machine, found by `measure` and kept in `benchmarks/results/scale-costs.json`.
`formula` turns them into replicas, servers, bytes and walls; `engine`, `gateway` and `scenarios` let arrivals run
through the same costs as queues, in virtual time and the same for each seed; `check` holds the simulation against a
real run. `python -m benchmarks.scale` prints the tables of `docs/scaling.md`.
"""
