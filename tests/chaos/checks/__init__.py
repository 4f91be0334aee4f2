"""The invariants: pure functions over a history, a file for each family, each unit-tested on histories made up."""
