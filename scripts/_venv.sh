# Sourced by the scripts beside it: finds a Python, makes .venv and installs from a lock.
# POSIX sh; the caller has `set -eu` and stands in the project's folder.

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "error: $*"
    exit 2
}

# Really run it: a pyenv shim can be found and yet have no such Python behind it.
fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

has_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# Print the interpreter to use: $PYTHON if it is set, else the first that fits and can make environments.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON names no Python from 3.11 to 3.13 that runs, got '$PYTHON'; name another"
        has_venv "$PYTHON" || fail "$PYTHON cannot make environments (no ensurepip); name another in PYTHON"
        printf '%s\n' "$PYTHON"
        return
    fi
    lame=
    for name in python3.13 python3.12 python3.11 python3; do
        fits "$name" || continue
        if has_venv "$name"; then
            printf '%s\n' "$name"
            return
        fi
        lame=${lame:-$name}
    done
    if [ -n "$lame" ]; then
        fail "$lame cannot make environments (no ensurepip); install that part of it (Debian, Ubuntu:" \
            "apt-get install $("$lame" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')-venv)"
    fi
    found=$(python3 -c 'import sys; print("Python %d.%d" % sys.version_info[:2])' 2>/dev/null || echo "none")
    fail "edgesearch needs Python 3.11, 3.12 or 3.13, found $found; install one, or name it: PYTHON=/path/to/python $0"
}

# What the environment must have been made from; when it changes, the installation is brought up to date.
stamp_of() {
    cat "$@" pyproject.toml scripts/_venv.sh | cksum
}

is_current() {
    [ -f ".venv/.edgesearch-$1" ] && [ "$(cat ".venv/.edgesearch-$1")" = "$2" ] && fits .venv/bin/python
}

# ensure_venv runtime | dev: make .venv hold what the lock says, and this folder as the package edgesearch.
# Quick where that is so already. The locks agree, so `dev` is good for `runtime` as well.
ensure_venv() {
    case $1 in
    runtime) locks=requirements.lock ;;
    dev) locks='requirements.lock requirements-dev.lock' ;;
    *) fail "an environment is 'runtime' or 'dev', got '$1'" ;;
    esac
    # shellcheck disable=SC2086 # two file names
    stamp=$(stamp_of $locks)
    if is_current "$1" "$stamp"; then
        return
    fi
    if ! fits .venv/bin/python; then
        python=$(find_python)
        say "making .venv with $("$python" -c 'import platform, sys; print("Python", platform.python_version())')"
        "$python" -m venv --clear .venv || fail "the environment .venv cannot be made; see above"
    fi
    rm -f .venv/.edgesearch-runtime .venv/.edgesearch-dev
    install_locked "${locks##* }"
    stamp_of requirements.lock >.venv/.edgesearch-runtime
    if [ "$1" = dev ]; then
        printf '%s\n' "$stamp" >.venv/.edgesearch-dev
    fi
}

install_locked() {
    uv=$(sed -n 's/^\(uv==[^ ;]*\).*/\1/p' requirements-dev.lock)
    say "installing what $1 lists (about 3 GB on disk; minutes the first time)"
    # uv reads no pip settings: who has pip use a mirror means uv too.
    if [ -n "${PIP_INDEX_URL:-}" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
        UV_DEFAULT_INDEX=$PIP_INDEX_URL
        export UV_DEFAULT_INDEX
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$uv" ||
        fail "$uv cannot be installed into .venv; see above"
    # Compiled here, once: where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would
    # compile TensorFlow anew (6.7 s instead of 4.1 s for its import).
    .venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --requirement "$1" ||
        fail "what $1 lists cannot be installed; see above"
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable . ||
        fail "this folder cannot be installed as edgesearch; see above"
}
