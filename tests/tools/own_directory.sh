#!/bin/sh
# Makes $PGOPS_TOOLS_DIR, a directory that is ours alone: `make clean` takes it away as a whole.
set -eu

tools=${PGOPS_TOOLS_DIR:?}
mark=$tools/made-by-pgops-pgbackrest
if [ -d "$tools" ] && [ ! -e "$mark" ] && [ -n "$(ls -A "$tools")" ]; then
    echo "$tools exists and holds other things; set TOOLS_DIR to an own directory." >&2
    exit 1
fi
mkdir -p "$tools"
touch "$mark"
