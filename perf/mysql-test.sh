#!/bin/bash
# Makes DIR a folder with MariaDB's own test suite, from Debian's packages mariadb-test and mariadb-test-data in the version of
# the server that is installed. The packages are unpacked, not installed: mariadb-test would bring a running server with it.
# Needs what apt knows of (apt-get update), but not root.
#
#   perf/mysql-test.sh DIR
set -euo pipefail

dir=${1:?usage: mysql-test.sh DIR}

if [ -x "$dir/usr/bin/mariadb-test" ]; then
    echo "the test suite is there already: $("$dir/usr/bin/mariadb-test" --version)"
    exit 0
fi
version=$(dpkg-query -W -f '${Version}' mariadb-server-core)

# A half-made folder would satisfy the test above one day: build beside it, move it into place when it is whole.
work="$dir.partial"
rm -rf "$work"
mkdir -p "$work/packages"
cd "$work/packages"
apt-get -q download "mariadb-test=$version" "mariadb-test-data=$version" "mariadb-server=$version"
cd - >/dev/null
for package in "$work"/packages/*.deb; do
    dpkg -x "$package" "$work"
done
rm -rf "$work/packages" "$work/etc" "$work/lib"

# The suite looks for programs and messages of the server in its own tree.
mkdir -p "$work/usr/sbin"
ln -s /usr/sbin/mariadbd "$work/usr/sbin/"
for program in /usr/bin/mariadb* /usr/bin/mysql* /usr/bin/my_print_defaults /usr/bin/innochecksum /usr/bin/perror /usr/bin/replace \
    /usr/bin/resolveip /usr/share/mysql/*; do
    [ -e "$work$program" ] || ln -s "$program" "$work$program"
done

rm -rf "$dir"
mv "$work" "$dir"
"$dir/usr/bin/mariadb-test" --version
