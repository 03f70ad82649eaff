#!/usr/bin/env bash
# usage: docs.sh <build directory>
# Makes the documentation site of the guides in docs/ and of what the plugins and roles say of themselves.
# A warning is an error. Needs no network.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$1
source=$build/site/source
export PATH=$build/tests/bin:$PATH
export ANSIBLE_COLLECTIONS_PATH=$build/collections

rm -rf "$build/site"
mkdir -p "$source"
cp -R docs/. "$source"
mkdir -m 755 "$source/collection"
antsibull-docs collection --use-current --squash-hierarchy --fail-on-error --dest-dir "$source/collection" \
    pgops.pgbackrest
sphinx-build --fail-on-warning --keep-going --quiet --jobs auto --conf-dir docs "$source" "$build/site/html"
echo "The first page of the site: $build/site/html/index.html"
