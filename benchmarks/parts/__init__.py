"""The measurements. Each module has a `run(size, directory)`, and runs alone as `python -m benchmarks.parts.NAME`."""
