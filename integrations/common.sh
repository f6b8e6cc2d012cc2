# What every integrations/NAME/test begins with: `. "$(dirname "$0")/../common.sh"`. It gives:
#   ROOT, HERE   the checkout, and the integration's folder
#   WORK         a folder of its own, kept between runs: .venv/hosts/NAME
#   TINS         the tins of integrations/conformance, and cases.json
#   native DIR   libtinhost.so, tin.c, tin_host.c and their headers in DIR, made once for the sources as they are
#   beside PATH..., added TIN CONTEXT COMMAND...   what the addon takes, for the table of hosts: see weigh.py
#   say, fail, debian COMMAND PACKAGE... and the rest of scripts/lib.sh, and .venv's programs on PATH
HERE=$(cd "$(dirname "$0")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
cd "$ROOT"
. scripts/lib.sh
set_up
WORK=$ROOT/.venv/hosts/$(basename "$HERE")
TINS=$ROOT/.venv/hosts/tins
mkdir -p "$WORK"
export HERE ROOT WORK TINS
(
    flock 9
    pull_base
    # Made anew when what answers them has changed.
    stamp=$(cat .venv/package.stamp integrations/conformance/make.py | cksum)
    [ "$(cat "$TINS.stamp" 2>/dev/null)" = "$stamp" ] || rm -rf "$TINS"
    python integrations/conformance/make.py "$TINS" || fail "the tins for the hosts could not be made"
    printf '%s' "$stamp" >"$TINS.stamp"
) 9>"$ROOT/.venv/hosts/lock"

native() {
    local stamp
    stamp=$(find kernels scripts/amalgamate.py -type f | LC_ALL=C sort | xargs cat | cksum)
    (
        flock 9
        if [ "$(cat .venv/hosts/native/stamp 2>/dev/null)" != "$stamp" ]; then
            say "set-up: libtinhost"
            python scripts/amalgamate.py .venv/hosts/native --host
            (cd .venv/hosts/native && ${CC:-cc} -std=c11 -O2 -fPIC -fvisibility=hidden -shared -s -DTIN_SHARED -DTIN_BUILDING \
                tin.c tin_host.c -o libtinhost.so -pthread) || fail "libtinhost could not be compiled"
            printf '%s' "$stamp" >.venv/hosts/native/stamp
        fi
    ) 9>"$ROOT/.venv/hosts/lock"
    mkdir -p "$1"
    cp .venv/hosts/native/{libtinhost.so,tin.c,tin.h,tin_host.c,tin_host.h} "$1"
}

weigh() { python "$ROOT/integrations/weigh.py" "$@" >&2 || fail "the addon takes too much (see above)"; }
beside() { weigh "$WORK" beside "$@"; }
added() { weigh "$WORK" added "$@"; }
