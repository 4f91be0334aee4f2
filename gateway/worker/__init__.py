"""Following jobs: the driver's loop `plan → perform → apply → save`, leases, the feed to local watchers, deliveries.

Never imports `gateway.web`: who is waiting, and how they are answered, is no business of the work.
"""
