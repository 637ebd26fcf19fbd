"""The web: what callers, monitoring and people see over HTTP.

`app.py` puts it together, `api/` is for callers, `server/` is how it is served, `sandbox/` looks like the
provider. The web writes to the store and
reads from it; it never talks to the provider and never holds its key.
"""
