#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/try_dockerfile.sh [OPTIONS OF BUILDAH]: build docker/Dockerfile without Docker and without its registry: every line
# of it is executed, in a Debian made by mmdebstrap. As root: apt-get install buildah mmdebstrap. The image stays in
# buildah's store (`buildah --storage-driver vfs images`).

set -e
cd "$(dirname "$0")/.."
buildah() { command buildah --storage-driver vfs "$@"; }
base=$(sed -n 's/^FROM //p' docker/Dockerfile)           # debian:bookworm-slim
suite=${base#debian:}
if ! buildah inspect "docker.io/library/$base" >/dev/null 2>&1; then
    root=$(mktemp --suffix .tar)
    trap 'rm -f "$root"' EXIT
    mmdebstrap --variant=minbase "${suite%-slim}" "$root" http://deb.debian.org/debian
    container=$(buildah from scratch)
    buildah add "$container" "$root"
    buildah commit --rm "$container" "docker.io/library/$base"
fi
# The device files of this machine are seen in there: without one of NVIDIA's, torch is its CPU build.
buildah bud --isolation chroot --pull-never --layers -t cosmos3_ros:cpu -f docker/Dockerfile "$@" .
