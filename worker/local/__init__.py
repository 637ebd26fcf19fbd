"""Everything on one machine: `ringback up`, the demo, and the store that they bring along.

Read `up.py` first: which processes run, and how they end together. `children.py` keeps them running, `embedded.py` is
the store, `demo.py` plays one order from POST to verified webhook with `receiver.py` at its end.
"""
