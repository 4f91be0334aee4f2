"""The store's own client: what goes over the wire, and what becomes of it when the wire is cut."""
