"""WSGI entry point, for those who start gunicorn themselves::

    gunicorn --config python:gateway.gunicorn_config wsgi:app

That is ``python -m gateway.server`` by another name: the same settings from the environment and
``.env``, the same workers. Options after it win over them. Either needs a Redis, a migrated
database and a ``faregate recorder`` beside it, which ``faregate serve`` starts by itself, and an
empty folder in ``PROMETHEUS_MULTIPROC_DIR`` for metrics that are summed over the workers.
"""

from gateway.app import create_app

app = create_app()
