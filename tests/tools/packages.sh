#!/bin/sh
# usage: packages.sh <Debian package>...
# Installs those that are missing. Afterwards no PostgreSQL cluster exists and no service runs that did not before.
set -eu

have() {
    case $1 in
        # Whoever installed the program, it will do.
        postgresql) ls /usr/lib/postgresql/*/bin/initdb ;;
        npm | pgbackrest) command -v "$1" ;;
        *) dpkg-query -W -f '${Status}' "$1" | grep -q ' installed$' ;;
    esac >/dev/null 2>&1
}

missing=
for package; do
    have "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || { echo "Please install by hand, there is no apt-get here:$missing" >&2; exit 1; }
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "Please install as root, there is no sudo here:$missing" >&2; exit 1; }
    # shellcheck disable=SC2086
    exec sudo "$0" $missing
fi

echo "Installing Debian packages:$missing"
policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/zz-pgops-pgbackrest.conf
directory=$(dirname "$no_cluster")
log=$(mktemp)
undo=$log
undo_directory=
finish() {
    # shellcheck disable=SC2086
    rm -f $undo
    [ -z "$undo_directory" ] || rmdir --ignore-fail-on-non-empty "$directory"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

clusters() { ls -d /etc/postgresql/*/* 2>/dev/null || true; }

if [ ! -e "$policy" ]; then
    undo="$undo $policy"
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 0755 "$policy"
fi
[ -d "$directory" ] || undo_directory=yes
mkdir -p "$directory"
undo="$undo $no_cluster"
echo "create_main_cluster = false" >"$no_cluster"
main_conf=/etc/postgresql-common/createcluster.conf
if [ -e "$main_conf" ] && ! grep -q "^include_dir.*createcluster.d\|^create_main_cluster *= *\(false\|off\|no\)" "$main_conf"; then
    echo "$main_conf would have PostgreSQL's packages create a cluster. Set create_main_cluster = false there" \
        "for the time of the installation, or install these packages yourself:$missing" >&2
    exit 1
fi

before=$(clusters)
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing; } \
    >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    exit 1
fi
[ "$(clusters)" = "$before" ] || { echo "The packages created a PostgreSQL cluster, see pg_lsclusters." >&2; exit 1; }
