# The MLflow server of the manifests. Built by `make images`, with the root of the repository as context.

# Python 3.11.16 on Debian 12.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84

FROM ${BASE_IMAGE} AS dependencies
WORKDIR /build
RUN python -m venv --without-pip /opt/mlflow
COPY pyproject.toml constraints.txt ./
ENV PIP_CONSTRAINT=constraints.txt
# With what accounts (Flask-WTF), the database (psycopg2) and an S3 store (boto3) need.
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
needs = [need for need in project['dependencies'] if need.startswith('mlflow')]; \
print(*needs, *project['optional-dependencies']['mlflow-server'], sep='\n')" > requirements.txt \
    && pip --python /opt/mlflow/bin/python install --no-cache-dir -r requirements.txt

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/mlflow /opt/mlflow
# Any user works, also one without a name: /tmp is the only folder written to, so the rest may be read-only.
ENV PATH=/opt/mlflow/bin:$PATH HOME=/tmp USER=mlflow PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 1000:0
ARG REVISION SOURCE VERSION
LABEL org.opencontainers.image.title="rlready, MLflow server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}"
CMD ["mlflow", "server", "--help"]
