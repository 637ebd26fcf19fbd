"""The benchmark: ringback beside its peers, in one run on one machine.

Read in this order:

1. `run.py`: the one command; which figures are taken, in which order.
2. `figures.py`: how CPU time and memory are read, and what a figure with its goal is.
3. `provider.py` and `arrivals.py`: the provider (and webhook receiver) that everybody polls, and what it notes.
4. `peers/`: what other people would have written for the same job, and the floor under all of them.
5. `rivals.py` and `engine.py`: one function per measurement, of the peers and of ringback.
6. `report.py` and `plots.py`: the table on the screen, `docs/performance.md` and its pictures.
7. `guard.py`: the small check for CI.
"""
