"""The data and admin ports: connections, the tables of paths, handlers and what is around them, problems.

The only package that knows aiohttp's server, of which it uses the parser and the flow control. It understands requests,
hands them to the worker's intake, and lets the caller's renderers say what to answer.
"""
