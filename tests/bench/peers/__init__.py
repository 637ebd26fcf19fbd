"""What other people would have written for the same job, each as fair as we could make it.

Every peer polls orders that are "still waiting" at the bench's provider, each order once per interval. It is
a program of its own, configured by the environment (`settings.py`), and `python -m tests.bench.peers.NAME
COUNT` puts so many orders in flight, spread evenly over the first interval, so that no peer starts with a
storm.

The peers keep nothing but the activation's id: no state, no deadlines, no events. What they are measured at
is less work than ringback does for each poll.
"""
