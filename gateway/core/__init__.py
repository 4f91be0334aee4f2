"""The pure heart: modes, jobs, events, states, plans, outcomes, preferences, errors.

Nothing here awaits, reads a clock, logs or draws a random number: `now` is an argument, in milliseconds of the store's
time. It imports nothing of the gateway but itself. Import-linter and ruff hold this.
"""
