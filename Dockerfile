# The image of approvals: the locked packages and this project's wheel in one virtual environment.
# The container may run with a read-only root: it writes to /tmp and, with SQLite, to
# /var/lib/approvals.

FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /build

# The packages first: this layer changes only with the lock.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/approvals \
    && python -m pip --python /opt/approvals/bin/python install \
        --only-binary :all: --require-hashes -r requirements.lock

# What builds the wheel comes from the other lock, by hash too, and stays out of the image.
COPY requirements-dev.lock ./
RUN awk '/^[^ ]/ { keep = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } keep' \
        requirements-dev.lock > build.lock \
    && python -m pip install --only-binary :all: --require-hashes -r build.lock

COPY pyproject.toml README.md LICENSE ./
COPY alembic ./alembic
COPY approvals ./approvals
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && python -m pip --python /opt/approvals/bin/python install --no-deps dist/*.whl


FROM python:3.13-slim

RUN groupadd --gid 10001 approvals \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/approvals \
        --shell /usr/sbin/nologin approvals \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/approvals

COPY --from=build /opt/approvals /opt/approvals

# XDG_STATE_HOME: `serve` leaves its address there for the command line.
ENV PATH=/opt/approvals/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/tmp \
    APPROVALS_HOST=0.0.0.0 \
    APPROVALS_PORT=8642

WORKDIR /var/lib/approvals
USER 10001:10001
EXPOSE 8642

HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, sys; from http.client import HTTPConnection; c = HTTPConnection('127.0.0.1', int(os.environ['APPROVALS_PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["approvals"]
CMD ["serve"]
