#!/usr/bin/env bash
# usage: images.sh tag | build <Debian suite>...
# build  makes the images pgops-pgbackrest/<suite>:<tag> of hosts with systemd and PostgreSQL, where they are missing.
# tag    prints the tag, which changes with what makes the images.
# In an image, apt knows one archive only: a directory with pgBackRest and whatever else a play may install. So plays
# install packages for real, and quickly. Debian's own archive is there, but switched off.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
label=pgops.pgbackrest.tests
mirror=http://deb.debian.org/debian

installed=(
    acl ca-certificates dbus iproute2 openssh-server postgresql procps python3 python3-psycopg2 sudo systemd
    systemd-sysv
)
# Not on forky, so that one of the suites shows how a play does on a host that has as little as possible.
installed_but_on_forky=(python3-apt)
to_install=(cron nginx-light patroni pgbackrest python3-apt python3-cryptography python3-venv)

fail() {
    echo "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

tag() {
    { declare -f arrange make_image && declare -p mirror installed installed_but_on_forky to_install; } |
        sha256sum | cut -c 1-12
}

# Runs inside the new system.
arrange() {
    set -eu
    archive=/usr/local/share/packages
    export DEBIAN_FRONTEND=noninteractive
    mkdir -p "$archive/partial"
    apt-get install --yes --quiet=2 --no-install-recommends --download-only -o Dir::Cache::archives="$archive" "$@"
    rm -rf "$archive/partial" "$archive/lock"
    cd "$archive"
    for package in *.deb; do
        dpkg-deb --field "$package"
        echo "Filename: $package"
        stat --format 'Size: %s' "$package"
        sha256sum "$package" | sed 's/ .*//; s/^/SHA256: /'
        echo
    done >Packages
    rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
    rm -rf /var/lib/apt/lists/*
    echo "deb [trusted=yes] file:$archive ./" >/etc/apt/sources.list.d/local.list
    # shellcheck source=/dev/null
    . /etc/os-release
    cat >/etc/apt/sources.list.d/debian.sources <<SOURCES
Enabled: no
Types: deb
URIs: http://deb.debian.org/debian
Suites: $VERSION_CODENAME
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
    echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/50tests
    apt-get update --quiet=2
    # What belongs to one host only: it comes with the first start, or when a scenario asks for it.
    rm -f /etc/ssh/ssh_host_* /etc/postgresql-common/createcluster.d/tests.conf
    : >/etc/machine-id
    systemctl --quiet disable ssh.service
    systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
        getty.target systemd-logind.service systemd-udevd.service
}

make_image() { # suite, reference
    local include start=$SECONDS packages=("${installed[@]}")
    [ "$1" = forky ] || packages+=("${installed_but_on_forky[@]}")
    include=$(IFS=, && echo "${packages[*]}")
    echo "Building the image $2"
    # shellcheck disable=SC2016
    as_root mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
        --include="$include" \
        --essential-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d"' \
        --essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/tests.conf"' \
        --customize-hook="cp '$work/arrange' \"\$1/tmp/arrange\"" \
        --customize-hook="chroot \"\$1\" bash /tmp/arrange ${to_install[*]}" \
        --customize-hook='rm "$1/tmp/arrange"' \
        --skip=cleanup/apt/lists \
        "$1" - "$mirror" >"$work/$1.tar" 2>"$work/$1.log" </dev/null || fail "$(tail -n 30 "$work/$1.log")"
    docker import --change "LABEL $label=image" --change 'ENV container=docker' \
        --change 'CMD ["/lib/systemd/systemd"]' "$work/$1.tar" "$2" >/dev/null
    rm "$work/$1.tar"
    echo "  $(docker image inspect --format '{{.Size}}' "$2" | numfmt --to=si)B in $((SECONDS - start)) s"
}

remove_older() { # suite, reference to keep
    docker images --format '{{.Repository}}:{{.Tag}}' "pgops-pgbackrest/$1" | grep -vxF "$2" |
        xargs --no-run-if-empty docker rmi >/dev/null 2>&1 || true # one may be in use
}

build() {
    local suite reference
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 0755 "$work"
    { declare -f arrange && echo 'arrange "$@"'; } >"$work/arrange"
    for suite; do
        reference=pgops-pgbackrest/$suite:$(tag)
        ! docker image inspect "$reference" >/dev/null 2>&1 || continue
        "$here/packages.sh" mmdebstrap
        make_image "$suite" "$reference"
        remove_older "$suite" "$reference"
    done
}

"$@"
