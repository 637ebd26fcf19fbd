"""gunicorn's own lines, made like all others."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from worker.logs import configure


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's lines go where all others go."""

    def setup(self, cfg: Any) -> None:
        """Take gunicorn's own handlers away, so that its lines reach the root's."""
        super().setup(cfg)
        configure("web", cfg.loglevel)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
