"""The job store: its port, the record's codec, the one Redis implementation and the embedded server.

Never imports anything above `gateway.core`. Every mutation is one script that checks first and writes last, so that
running it twice does what running it once does.
"""
