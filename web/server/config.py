"""gunicorn's settings: `gunicorn --config python:web.server.config "web.app:create_app()"`.

Set from outside: PORT (8000), RINGBACK_BIND (0.0.0.0), WEB_CONCURRENCY (processes, 1), WEB_THREADS (32).
"""

from __future__ import annotations

import os

bind = f"{os.environ.get('RINGBACK_BIND', '0.0.0.0')}:{os.environ.get('PORT') or 8000}"  # noqa: S104 - behind a proxy
proc_name = "ringback-web"
control_socket_disable = True  # nothing here is steered at run time
logger_class = "web.server.logs.JsonLogger"
accesslog = None  # the web writes one line per request itself

# Processes cost memory and share nothing.
worker_class = "web.server.worker.Worker"
workers = int(os.environ.get("WEB_CONCURRENCY") or 1)
worker_connections = 1000  # open connections per process; a slow client holds one of them, and no thread
backlog = 2048

timeout = 90  # a process whose loop has hung is replaced
graceful_timeout = 25  # requests in progress may end; under the 30 s after which supervisors kill
keepalive = 15  # seconds for the head of a request, counted from the connection's start or from the last answer

# No request of ours is longer; bodies are capped by the bridge and the app (64 KiB, 413).
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# No header is believed to come from a proxy: nothing here needs one.
forwarded_allow_ips = ""
forwarder_headers = ""

# Heartbeat files on a disk that may stall make gunicorn kill healthy processes.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - a heartbeat holds no data
