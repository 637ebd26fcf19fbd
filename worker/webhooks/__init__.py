"""Webhooks: what is said, how it is signed, where it may go, and how one attempt is made.

In the order of an attempt: `message` builds the body and headers, `signing` signs them, `target` and
`addresses` say what a callback may look like and which addresses are public, `names` looks hosts up, `guard` puts all
three together, `delivery` posts and `outcome` says what came of it.
"""
