#!/bin/bash
# Makes DIR a small Debian root that holds a real MySQL server, which Debian's stable release does not ship.
# The lab starts the server inside it by chroot; nothing outside DIR changes. Needs root and the Debian mirror that apt uses.
#
#   perf/mysql-root.sh DIR [SUITE]      SUITE: sid unless given
set -euo pipefail

dir=${1:?usage: mysql-root.sh DIR [SUITE]}
suite=${2:-sid}

if [ -x "$dir/usr/sbin/mysqld" ]; then
    echo "a MySQL server is there already: $(chroot "$dir" /usr/sbin/mysqld --version)"
    exit 0
fi
[ "$(id -u)" = 0 ] || { echo "mysql-root.sh must run as root (debootstrap, chroot)" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }

# The mirror is whichever one apt takes this machine's own release from.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | sort -u | head -n 1)
[ -n "$mirror" ] || { echo "apt knows no Debian mirror: run apt-get update" >&2; exit 1; }

# A half-made root would satisfy the test above one day: build beside it, move it into place when it is whole.
work="$dir.partial"
rm -rf "$work"
mkdir -p "$(dirname "$dir")"
debootstrap --variant=minbase "$suite" "$work" "$mirror"

# No service starts inside the root, and dpkg need not sync a throw-away file system.
printf '#!/bin/sh\nexit 101\n' >"$work/usr/sbin/policy-rc.d"
chmod 755 "$work/usr/sbin/policy-rc.d"
echo force-unsafe-io >"$work/etc/dpkg/dpkg.cfg.d/unsafe-io"
DEBIAN_FRONTEND=noninteractive chroot "$work" apt-get install -y -q --no-install-recommends mysql-server </dev/null
chroot "$work" apt-get clean

rm -rf "$dir"
mv "$work" "$dir"
chroot "$dir" /usr/sbin/mysqld --version
