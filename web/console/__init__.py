"""The operators' console: server-rendered pages under /console, without a build step; every act works without script.

`routes` has every path with the act that it is, `access` who may do it. A page asks the store (`worker.store.queries`)
and says what it found in words (`words`) and drawings (`charts`).
"""

from web.console.routes import install

__all__ = ["install"]
