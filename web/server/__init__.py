"""How the web is served: gunicorn's processes, its event loop for the sockets, and threads for the application.

Requests are read to their end, and answers written, by the loop. A client that sends or reads slowly, or not at all,
holds a connection and no thread. `config.py` is what gunicorn is started with.
"""
