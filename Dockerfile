# syntax=docker/dockerfile:1

# Faregate. Two stages: the first installs the locked requirements and the package into one
# virtual environment, the second carries that environment and nothing else.
#
#   docker build -t faregate .
#   docker run --env-file .env -p 8080:8080 faregate serve

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/faregate && python -m venv /opt/build
# Requirements first: they change less often than the code.
COPY requirements/runtime.lock requirements/build.lock requirements/
RUN /opt/faregate/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements/runtime.lock \
 && /opt/build/bin/pip install --require-hashes --no-deps -r requirements/build.lock
COPY pyproject.toml wsgi.py ./
COPY migrations migrations
COPY gateway gateway
RUN /opt/build/bin/python -m hatchling build -t wheel -d /tmp/dist \
 && /opt/faregate/bin/pip install --no-deps --no-index /tmp/dist/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/faregate faregate \
 && install -d -o faregate -g faregate -m 0700 /var/lib/faregate /var/lib/faregate/spool
COPY --from=build /opt/faregate /opt/faregate
ENV PATH=/opt/faregate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FAREGATE_HOST=0.0.0.0 \
    FAREGATE_PORT=8080 \
    FAREGATE_DATA_DIR=/var/lib/faregate \
    TMPDIR=/var/lib/faregate
# TMPDIR: files that clients upload wait on the volume, not in a /tmp that may be memory.
WORKDIR /var/lib/faregate
USER 10001
VOLUME /var/lib/faregate
EXPOSE 8080
# A stopping gateway finishes and settles the requests in flight.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['FAREGATE_PORT'] + '/readyz', timeout=2)"]
ENTRYPOINT ["faregate"]
CMD ["serve"]
