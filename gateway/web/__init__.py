"""The data and admin ports: the route table, handlers, ordered middlewares, problems.

The only package that knows aiohttp's server. It understands requests, hands them to the worker's intake, and lets the
caller's renderers say what to answer.
"""
