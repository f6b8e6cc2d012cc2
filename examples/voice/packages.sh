#!/usr/bin/env sh
# Downloads two Debian packages and unpacks them into packages/ beside this file; it installs none of them.
set -eu
cd "$(dirname "$0")"
mkdir -p packages && cd packages
apt-get download bible-kjv bible-kjv-text
for package in *.deb; do dpkg -x "$package" .; done
