#!/usr/bin/env bash
# Builds images and prints their names, one a line: images/build.sh [cpu] [gpu] [mlflow], or all.
#
#   CONTAINER_TOOL  docker, podman or buildah; the first that is there
#   REGISTRY        where to push to, e.g. ghcr.io/me; the names printed then hold the digest that a cluster needs
#   BUILD_FLAGS     more options of the tool's build, e.g. --build-arg BASE_IMAGE=...
set -euo pipefail
cd "$(dirname "$0")/.."

tool=${CONTAINER_TOOL:-}
for candidate in docker podman buildah; do
    [ -n "$tool" ] || ! command -v $candidate >/dev/null || tool=$candidate
done
command -v "${tool:-docker}" >/dev/null || { echo "images: needs docker, podman or buildah (CONTAINER_TOOL)" >&2; exit 2; }

revision=$(git rev-parse HEAD)
tag=${revision:0:12}
[ -z "$(git status --porcelain)" ] || tag=$tag-changed
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
source=$(git config --get remote.origin.url | sed -E 's#://[^@/]*@#://#' || true) # without a password

[ $# -gt 0 ] || set -- cpu gpu mlflow
for kind in "$@"; do
    name=${REGISTRY:-localhost}/rlready-$kind:$tag
    # shellcheck disable=SC2086 # BUILD_FLAGS is several words
    "$tool" build --file "images/$kind.Dockerfile" --tag "$name" --build-arg REVISION="$revision" \
        --build-arg SOURCE="$source" --build-arg VERSION="$version" ${BUILD_FLAGS:-} . >&2
    if [ -n "${REGISTRY:-}" ]; then
        if [ "$tool" = docker ]; then
            docker push "$name" >&2
            name=$(docker inspect --format '{{join .RepoDigests "\n"}}' "$name" | grep --max-count 1 "^${name%:*}@")
        else
            digests=$(mktemp)
            "$tool" push --digestfile "$digests" "$name" >&2
            name=${name%:*}@$(cat "$digests")
            rm "$digests"
        fi
    fi
    echo "$name"
done
