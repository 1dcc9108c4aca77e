# One image for web and worker. Built in one stage, run in another, so that no tool that builds or installs is in what runs.
FROM python:3.13-slim-bookworm AS build
COPY requirements.txt /build/
RUN python -m venv --without-pip /opt/offhook \
    && pip --python /opt/offhook/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r /build/requirements.txt

FROM python:3.13-slim-bookworm
RUN python -m pip uninstall --yes --root-user-action ignore pip \
    && useradd --system --uid 10001 --create-home --home-dir /data offhook
COPY --from=build /opt/offhook /opt/offhook
WORKDIR /srv/offhook
COPY app.py gunicorn.conf.py ./
COPY recordings/ recordings/
COPY adapters/ adapters/
COPY offhook/ offhook/
# Without a DATABASE_URL the ledger is a SQLite file in the volume.
ENV PATH=/opt/offhook/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=app \
    PORT=8000 \
    DATABASE_URL=sqlite:////data/offhook.db
VOLUME /data
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/readyz', timeout=4)"]
CMD ["gunicorn", "app:app"]
