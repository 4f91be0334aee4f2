"""The benchmark suite: callmode beside its peers, on loopback, on one machine. `scripts/bench`, docs/benchmarks.md.

What is where:

    native/       upstream and load generator, in C, so that neither is what is measured
    peers/        what callmode is compared with
    parts/        one measurement each; `python -m benchmarks.parts.NAME` runs it alone
    processes.py  processes under measurement: their CPU time and memory
    gateways.py   callmode under measurement
    stores.py     a store server for each subject that has one
    rounds.py     interleaved rounds, and the ratios of their figures
    targets.py    what is to be reached
    report.py     figures, tables; plots.py: pictures
"""
