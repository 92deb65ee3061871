"""The gateway process: the one place with an account's key, and the host's end of the way to it (SEC-01).

``python -m polyhost.venue.gatekeeper`` is its program: a keeper that reads the key once and a worker, forked from it,
that signs, posts, cancels, asks and listens to the streams that authenticate. ``client`` is what the host holds. The
page is docs/gateway-process.md.
"""
