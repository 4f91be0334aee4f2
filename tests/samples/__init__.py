"""The call modes page's own samples, run as they are printed."""
