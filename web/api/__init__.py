"""The API for callers, and what monitoring reads.

Read `orders.py` first (a purchase is asked for there), then `authentication.py` and `problems.py`. `schemas.py` says
field by field what goes in and comes out, `requests.py` reads it and `responses.py` writes it.
"""
