"""WSGI entry point: ``gunicorn --config python:gateway.server wsgi:app``."""

from gateway.app import create_app

app = create_app()
