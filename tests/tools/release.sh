#!/usr/bin/env bash
# usage: release.sh <version> [directory]
# Makes a checkout the release of this version: galaxy.yml, version_added, CHANGELOG.rst, changelogs/. Then look at it.
set -euo pipefail
cd "${2:-$(dirname "$0")/../..}"

version=$1
next=$(sed -n 's/^version: //p' galaxy.yml)
released=$(sed -nE 's/^  ([0-9.]+):$/\1/p' changelogs/changelog.yaml 2>/dev/null || true)

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "$version is not of the form 1.2.3." >&2; exit 1; }
! grep -qxF "$version" <<<"$released" || { echo "$version is released already." >&2; exit 1; }
compgen -G 'changelogs/fragments/*.yml' >/dev/null || { echo "There is nothing to release: no fragments." >&2; exit 1; }

# What is new says the version for which it was meant. That was never released if this is another one.
if [ "$next" != "$version" ] && ! grep -qxF "$next" <<<"$released"; then
    grep -rlF --include='*.py' --include='*.yml' "version_added: $next" plugins roles | xargs -r sed -i "s/version_added: $next$/version_added: $version/"
fi
sed -i "s/^version: .*/version: $version/" galaxy.yml
antsibull-changelog release --version "$version"
antsibull-changelog lint-changelog-yaml --strict changelogs/changelog.yaml
echo "This is $version. CHANGELOG.rst says what is in it."
