#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/apt_install.sh LIST...: as root, installs what the lists name, unless all of it is there.

set -e
: "${1:?usage: tools/apt_install.sh LIST...}"
packages=$(sed 's/#.*//' "$@")
# shellcheck disable=SC2086  # words, not one word
dpkg -s $packages >/dev/null 2>&1 && exit 0
apt-get update
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
