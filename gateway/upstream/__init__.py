"""Orchestrator: the HTTP client behind its port, credentials, one file per upstream mode.

Never imports anything above `gateway.core`, and knows nothing of callers.
"""
