"""gunicorn's configuration for its own command line: see ``wsgi.py``.

gunicorn takes its settings from this module's names. It is imported before the application,
so the patch comes first here too.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

from gateway.server import gunicorn_options  # noqa: E402
from gateway.settings import load_settings  # noqa: E402

globals().update(gunicorn_options(load_settings()))
