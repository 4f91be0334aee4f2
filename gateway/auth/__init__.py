"""Who calls, what they may touch, and the keyring. Never imports anything above `gateway.core`."""
