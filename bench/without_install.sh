#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bench/without_install.sh COMMAND...: run a command in the root of a checkout that was not built, where torch is.
# Wheels in .whl/ are installed for it, into a folder of its own; the package is linked into the same folder.
set -e
site=$(mktemp -d)
if ls .whl/*.whl > /dev/null 2>&1; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
fi
mkdir -p "$site/cosmos3_ros"
for part in cosmos3_ros/* model serve sim training; do
  ln -sfn "$PWD/$part" "$site/cosmos3_ros/$(basename "$part")"
done
export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec "$@"
