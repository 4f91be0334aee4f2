"""Real HTTP clients against the gateway: what each does with redirects, bearers and bodies is its own."""
