"""The caller's side: choosing a mode, one renderer per mode, job URLs, the monitor. Pure, and a stranger to upstream.

A renderer is a function of the record, the call and the time. It answers with a `Reply`, or says until when to `Wait`
for a newer record; the web layer does the waiting. So one loop serves all modes, and each is tested without a socket.
"""
