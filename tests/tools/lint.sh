#!/usr/bin/env bash
# usage: lint.sh <build directory>
# Runs every check of the sources, shows the output of those that fail, and ends with the closing line of the tier.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$1
bin=$build/tests/bin
work=$build/lint
# ansible-test works only in a directory that really has this name, and takes the files that git sees there.
copy=$work/ansible_collections/pgops/pgbackrest
failed=()
passed=0

export PATH=$bin:$PATH
export NO_COLOR=1
export MYPYPATH=$build/collections
export MYPY_CACHE_DIR=$work/mypy
export RUFF_CACHE_DIR=$work/ruff

# What a commit of everything here would hold.
make_copy() {
    rm -rf "$copy"
    mkdir -p "$copy"
    git ls-files -z --cached --others --exclude-standard --deduplicate |
        python3 -c 'import os, sys; sys.stdout.write("\0".join(filter(os.path.lexists, sys.stdin.read().split("\0"))))' |
        tar --create --null --files-from - | tar --extract --directory "$copy"
    git init --quiet "$copy"
}

report() { # name, status, seconds
    if [ "$2" = 0 ]; then
        echo "ok      $1 ($3 s)"
        passed=$((passed + 1))
    else
        cat "$work/$1.log"
        echo "FAILED  $1 ($3 s)"
        failed+=("$1")
    fi
}

check() { # name, command...
    local name=$1 status=0 start=$SECONDS
    shift
    "$@" >"$work/$name.log" 2>&1 </dev/null || status=$?
    report "$name" "$status" $((SECONDS - start))
}

artifact() {
    rm -rf "$work/artifact"
    (cd "$copy" && ansible-galaxy collection build --output-path "$work/artifact")
    python3 tests/tools/artifact.py "$work"/artifact/*.tar.gz
}

changelog() {
    (cd "$copy" && antsibull-changelog lint)
}

# The release that could be made of this: the next major version, which is 1.0.0 first.
release() {
    local directory=$work/release/ansible_collections/pgops/pgbackrest version
    compgen -G "$copy/changelogs/fragments/*.yml" || return 0 # what is here is released
    rm -rf "$work/release"
    mkdir -p "$directory"
    cp -R "$copy/." "$directory"
    version=$(($(sed -nE 's/^version: ([0-9]+)\..*/\1/p' galaxy.yml) + 1)).0.0
    tests/tools/release.sh "$version" "$directory"
    (cd "$directory" && ansible-galaxy collection build --output-path "$work/release")
    python3 tests/tools/artifact.py "$work/release/pgops-pgbackrest-$version.tar.gz" "$version"
}

documentation() {
    antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck --validate-collection-refs self "$copy"
}

make_copy
start=$SECONDS
setsid tests/tools/sanity.sh "$work" "$copy" >"$work/sanity.log" 2>&1 </dev/null &
sanity=$!
trap 'kill -- "-$sanity" 2>/dev/null || true' EXIT

check ruff ruff check .
check format ruff format --check --diff .
check mypy mypy -p ansible_collections.pgops.pgbackrest
check yamllint yamllint --strict .
check role-arguments python3 tests/tools/role_arguments.py roles
check changelog changelog
check artifact artifact
check release release
check documentation documentation
check site tests/tools/docs.sh "$build"
check ansible-lint ansible-lint --profile production --offline
status=0
wait "$sanity" || status=$?
report sanity "$status" $((SECONDS - start))
trap - EXIT

if [ "${#failed[@]}" -gt 0 ]; then
    echo "lint: ${#failed[@]} failed (${failed[*]}), $passed passed"
    exit 1
fi
echo "lint: $passed passed"
