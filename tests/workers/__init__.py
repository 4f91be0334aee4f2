"""Several workers behind one address."""
