# One image for every process of Airflow, for MLflow and for the demo: the commit that HEAD is, and its locked packages.
#
#   docker build -t evergreen .            (add --network=host where a build has no network of its own)
#
# An image is a commit: code, DAGs and params.yaml are those of HEAD, whatever else lies in the folder.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS builder
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends git >/dev/null
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1
WORKDIR /build
COPY requirements-uv.txt requirements-server.txt ./
RUN python3 -m venv /build/uv \
 && /build/uv/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes -r requirements-uv.txt
# Tests of other people's packages, headers and sources of extensions are a sixth of the whole.
RUN python3 -m venv --without-pip /opt/venv \
 && /build/uv/bin/uv pip install --quiet --python /opt/venv/bin/python --require-hashes -r requirements-server.txt \
 && cd /opt/venv/lib/python3.11/site-packages \
 && find ibis matplotlib networkx nltk numpy pandas pyarrow scipy sklearn skops statsmodels -type d -name tests -prune \
        -exec rm -rf {} + \
 && find plotly -type d -name __pycache__ -prune -exec rm -rf {} + \
 && rm -rf pyarrow/include pyarrow/src numpy/_core/include faker/providers/*/??_?? \
 && find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.cpp' -o -name '*.h' -o -name '*.hpp' \) -delete
COPY .git .git
# A clone of the commit, with its history, as far as that is there: builds are commits on it.
RUN git init --quiet --initial-branch=main /opt/evergreen \
 && git -C /opt/evergreen fetch --quiet --update-shallow /build/.git HEAD \
 && git -C /opt/evergreen reset --quiet --hard FETCH_HEAD \
 && rm -f /opt/evergreen/.git/FETCH_HEAD \
 && /build/uv/bin/uv pip install --quiet --python /opt/venv/bin/python --no-deps --no-build-isolation --offline \
        --editable /opt/evergreen \
 && cd /opt/evergreen && /opt/venv/bin/python -m compileall -q include dags plugins examples deploy

FROM ${PYTHON_IMAGE}
RUN apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends git curl libgomp1 >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /usr/share/doc/* /usr/share/man/* \
 && printf '[safe]\n\tdirectory = *\n' > /etc/gitconfig \
 && useradd --uid 50000 --gid 0 --no-log-init --home-dir /opt/airflow --shell /bin/bash evergreen \
 && mkdir -p /evergreen /mlflow /opt/airflow/logs \
 && chown -R 50000:0 /evergreen /mlflow /opt/airflow \
 && chmod -R g=u /evergreen /mlflow /opt/airflow
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /opt/evergreen /opt/evergreen
RUN ln -s /opt/evergreen/deploy/airflow /opt/airflow/config
# One thread a process, as on a laptop: two would change a model's bytes. deploy/bin has the commands that read secrets.
ENV PATH=/opt/evergreen/deploy/bin:/opt/venv/bin:$PATH \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/evergreen/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/evergreen/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    EVERGREEN_HOME=/evergreen/home \
    EVERGREEN_PROJECT=/evergreen/project \
    EVERGREEN_PROJECTS=/evergreen/project \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
    DO_NOT_TRACK=1 DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false GIT_PYTHON_REFRESH=quiet PYTHONUNBUFFERED=1 HOME=/opt/airflow
USER 50000:0
WORKDIR /opt/evergreen
ENTRYPOINT ["/opt/evergreen/deploy/entrypoint"]
HEALTHCHECK --interval=10s --timeout=10s --start-period=90s --retries=6 CMD ["/opt/evergreen/deploy/healthy"]
CMD ["evergreen", "--help"]
