"""What makes things happen at the right time: one event loop per process, a lane for each queue, and the clock.

Read `lanes.py` first: how what is due is claimed, and a step run for each. `clock.py` looks for what is due, `loop.py`
is the life of the thread that all of it runs on, `heartbeat.py` notices that a worker has died, `chores.py` is what is
done now and then. Nothing here knows Celery.
"""
