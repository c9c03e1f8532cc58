# One image for the centre and the agent. Wheels that lie in dist/wheels (`make wheels`) are used, and nothing is fetched then.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY requirements.image.lock ./
# An empty dist/wheels is in order; the file beside it makes the line work without one.
COPY LICENSE dist/wheel[s] dist/wheels/
RUN python3 -m venv /opt/fleet \
 && if ls dist/wheels/*.whl >/dev/null 2>&1; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=/src/dist/wheels; fi \
 && /opt/fleet/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.image.lock
COPY . .
RUN /opt/fleet/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-index --no-deps --no-build-isolation . \
 && /opt/fleet/bin/pip uninstall --quiet --yes hatchling trove-classifiers pathspec pluggy pip

FROM ${BASE_IMAGE}
RUN groupadd --gid 10001 fleet \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/fleet --no-create-home --shell /usr/sbin/nologin fleet \
 && install --directory --owner 10001 --group 10001 --mode 700 /var/lib/fleet
COPY --from=build /opt/fleet /opt/fleet
ENV PATH=/opt/fleet/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FLEET_STATE_DIR=/var/lib/fleet
USER 10001:10001
VOLUME /var/lib/fleet
ENTRYPOINT ["fleet"]
CMD ["--help"]
