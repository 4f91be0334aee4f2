"""What callmode is compared with: nginx and haproxy, and what one writes with aiohttp in an afternoon.

The naive ones are written as their libraries' documentation shows, neither tuned nor slowed down, and have no
authentication, log, limit or metrics.
"""
