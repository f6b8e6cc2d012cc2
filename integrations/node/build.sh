#!/bin/sh
# Compiles the addon with the C compiler in CC (default: cc): csrc/ has tin.c, tin_host.c and their headers.
set -eu
cd "$(dirname "$0")"
headers=$(node -p 'require("node-api-headers").include_dir')
[ -f csrc/tin.c ] || {
    echo "tinsmith: csrc/tin.c is not there: write it with scripts/amalgamate.py of tinsmith" >&2
    exit 1
}
case $(uname -s) in Darwin) loose="-undefined dynamic_lookup" ;; *) loose= ;; esac
mkdir -p build
# Floats are not contracted: the bits are the same on every machine.
for part in csrc/tin.c csrc/tin_host.c src/addon.c; do
    ${CC:-cc} ${CFLAGS:-} -std=c11 -O2 -fPIC -pthread -ffp-contract=off -fvisibility=hidden -Icsrc -I"$headers" \
        -c "$part" -o "build/$(basename "$part" .c).o"
done
${CC:-cc} ${LDFLAGS:-} -shared $loose -pthread -o build/tinsmith.node build/tin.o build/tin_host.o build/addon.o
