"""Many callers at once against a gateway in a process of its own: what must hold under load, not how fast it is."""
