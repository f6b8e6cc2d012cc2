#!/usr/bin/env sh
# Downloads four Debian packages with translated programs and unpacks the translations into packages/ beside this
# file; it installs none of them.
set -eu
cd "$(dirname "$0")"
mkdir -p packages && cd packages
apt-get download libgtk-3-common evince-common gedit-common gnome-control-center-data
for package in *.deb; do dpkg --fsys-tarfile "$package" | tar -xf - --wildcards './usr/share/locale/*'; done
