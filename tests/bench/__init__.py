"""The benchmark: ringback beside its peers, in one run on one machine.

Read in this order:

1. `run.py` and `plan.py`: the one command; which figures are taken, in which order, at which loads.
2. `figures.py` and `results.py`: how CPU and memory are read, and the rows with their goals.
3. `provider.py` and `arrivals.py`: the provider and webhook receiver that everybody uses, and what it notes.
4. `peers/`: what other people would have written for the same job, and the floor under all of them.
5. `stage.py`, `rivals.py`, `engine.py`, `second.py`: what a measurement stands on; one function for each.
6. `report.py` and `plots.py`: the table on the screen, `docs/performance.md` and its pictures.
7. `console.py`, `indexes.py`: the console's pages, and what is written for them.
8. `record.py`, `model.py`, `scaling.py`: the figures that are kept, and what follows from them for other sizes.
9. `guard.py`: the small check for CI.
"""
