"""Orchestrator: the HTTP client behind its port, and one adapter for all modes of its API triggers.

Never imports anything above `gateway.core`, and knows nothing of callers.
"""
