"""Logs and traces: subscribers to what happens, never part of it. Knows nothing of HTTP or the store."""
