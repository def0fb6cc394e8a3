# Three images from one file: `web` carries no renderer and no speech engine, `worker` carries both,
# `models` has what networks need, with the CUDA build of torch.
#   docker build --target web .      docker build --target worker .      docker build --target models .

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PATH=/opt/venv/bin:$PATH \
    DJANGO_SETTINGS_MODULE=project.settings PARLEY_HOME=/var/lib/parley METRICS_DIR=/tmp/parley-metrics \
    TMPDIR=/tmp/parley-scratch
RUN python -m venv /opt/venv \
    && useradd --system --uid 10001 --home-dir /var/lib/parley --create-home parley
WORKDIR /srv/parley
# What a killed process was working on, customers' words and sound among it, is gone when its container starts again.
ENTRYPOINT ["/bin/sh", "-c", "rm -rf \"$TMPDIR\" && mkdir -m 700 \"$TMPDIR\" && exec \"$@\"", "parley"]
COPY requirements/ requirements/

FROM base AS web-dependencies
RUN pip install --no-deps --require-hashes -r requirements/web.txt -r requirements/otel.txt

FROM base AS worker-dependencies
# OpenCV needs no display libraries (headless), OpenMP is used by ONNX Runtime and CTranslate2.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-deps --require-hashes -r requirements/all.txt -r requirements/otel.txt

FROM base AS models-dependencies
# torch brings its CUDA libraries: it alone is installed with what it depends on.
RUN pip install --no-deps --require-hashes -r requirements/gpu.txt -r requirements/otel.txt \
    && pip install -r requirements/torch.txt

FROM web-dependencies AS web
COPY . .
USER parley
EXPOSE 8000
CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "project.asgi:application"]

FROM worker-dependencies AS worker
COPY . .
USER parley
CMD ["celery", "-A", "project", "worker", "-P", "solo", "-Q", "batch.viseme,batch.mock", "--without-mingle", "--without-gossip", "--without-heartbeat"]

FROM models-dependencies AS models
COPY . .
USER parley
CMD ["python", "manage.py", "render_worker", "--help"]
