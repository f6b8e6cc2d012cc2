# What scripts/test and scripts/demo share: the environment in .venv, made once and kept current.
# Sourced from the root of the checkout, with `set -euo pipefail`.

BASE_MODEL=smollm2-135m-instruct
ALL_EXTRAS=(train eval check pdf gguf dev docs)
QUICK_EXTRAS=(eval check pdf gguf dev) # without torch
EXTRAS=("${ALL_EXTRAS[@]}")

SHA256='import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $*"
    exit 1
}

# The Python that makes .venv: PYTHON when set, else the first that is new enough.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found (tried ${PYTHON:-python3.11 … python3}); install one, or set PYTHON to it"
}

find_compiler() {
    local candidate
    for candidate in ${CC:-cc gcc clang}; do
        command -v "$candidate" >/dev/null && return
    done
    fail "no C compiler found (tried ${CC:-cc, gcc, clang}); install one (Debian: apt-get install build-essential)"
}

# One digest of the names and contents of the files given.
digest() { { printf '%s\n' "$@" && cat "$@"; } | .venv/bin/python -c "$SHA256"; }

is_current() { [ -f ".venv/$1" ] && [ "$(cat ".venv/$1")" = "$2" ]; }

make_venv() {
    if [ -x .venv/bin/python ] && .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        return
    fi
    local python
    python=$(find_python)
    say "set-up: virtual environment in .venv ($("$python" --version))"
    rm -rf .venv
    "$python" -m venv .venv || fail "$python can't make a virtual environment (Debian: apt-get install python3-venv)"
}

pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }

# What building, the package and EXTRAS need, one requirement a line, as pyproject.toml states it.
requirements() {
    .venv/bin/python - "$@" <<'PYTHON'
import sys, tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
extras = project["project"]["optional-dependencies"]
wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
wanted += [line for extra in sys.argv[1:] for line in extras[extra]]
print("\n".join(dict.fromkeys(wanted)))
PYTHON
}

install_requirements() {
    local stamp wanted
    stamp=$(digest pyproject.toml examples/home/requirements.txt)
    is_current requirements.stamp "$stamp ${EXTRAS[*]}" && return
    is_current requirements.stamp "$stamp ${ALL_EXTRAS[*]}" && return
    say "set-up: Python packages (some minutes the first time)"
    mapfile -t wanted < <(requirements "${EXTRAS[@]}")
    pip install "${wanted[@]}" -r examples/home/requirements.txt ||
        fail "Python packages could not be installed, pip says why; PIP_INDEX_URL names another package index"
    printf '%s\n' "$stamp ${EXTRAS[*]}" >.venv/requirements.stamp
}

# Builds the extension into .venv, again when its sources change or the package gains a module.
install_package() {
    local stamp sources modules
    mapfile -t sources < <(find CMakeLists.txt pyproject.toml kernels -type f | LC_ALL=C sort)
    mapfile -t modules < <(find src -name '*.py' | LC_ALL=C sort)
    stamp="$(digest "${sources[@]}") $(printf '%s\n' "${modules[@]}" | cksum)"
    is_current package.stamp "$stamp" && return
    say "set-up: building tinsmith"
    # Without isolation: the build tools are in .venv already, and the build directory is used again.
    pip install --no-build-isolation --no-deps --editable . || fail "tinsmith could not be built (see above)"
    printf '%s\n' "$stamp" >.venv/package.stamp
}

pull_base() {
    .venv/bin/tinsmith pull "$BASE_MODEL" >/dev/null || exit 1
}

set_up() {
    find_compiler
    make_venv
    install_requirements
    install_package
    export PATH="$PWD/.venv/bin:$PATH"
}

# Installs Debian packages, which only root can: apt_install PACKAGE...
apt_install() {
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 3 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# What a script can't do without: debian COMMAND PACKAGE...
debian() {
    local command=$1
    shift
    command -v "$command" >/dev/null && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "$command is not installed (Debian: apt-get install $*)"
    say "set-up: Debian packages: $*"
    apt_install "$@" || fail "$* could not be installed, for $command"
}

# The number that picks a shard: the commit's place in its line, so that a commit always has the same one; the day, where
# the history is missing.
shard() {
    if [ "$(git rev-parse --is-shallow-repository 2>/dev/null)" = false ]; then
        git rev-list --count --first-parent HEAD
    else
        echo $(($(date +%s) / 86400))
    fi
}
