#!/bin/bash
# Fills DIR with the plugins of Debian's MariaDB that mariadb-server-core lacks: those for logins, and the server's own
# examples of such plugins. Installs nothing: mariadb-server would start a service. The packages come from where apt
# takes them, in the version of the server that is installed.
#
#   perf/mariadb-plugins.sh DIR
set -euo pipefail

dir=${1:?usage: mariadb-plugins.sh DIR}
version=$(dpkg-query -W -f '${Version}' mariadb-server-core)
[ "$(cat "$dir/version" 2>/dev/null)" != "$version" ] || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get -q download "mariadb-server=$version" "mariadb-test=$version" >log 2>&1 || { cat log >&2; exit 1; }
for package in *.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --wildcards './usr/lib/mysql/plugin/*auth*.so'
done
cd - >/dev/null
mkdir -p "$dir"
cp "$work"/usr/lib/mysql/plugin/*.so "$dir"
echo "$version" >"$dir/version"
