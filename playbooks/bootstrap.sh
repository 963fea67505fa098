# Sourced by ./deploy and ./test: what they need on the machine they run on, installed once.
# shellcheck shell=sh

# The distribution's Python: the one its python3-apt and python3-venv belong to, whatever else stands on PATH.
bootstrap_python=/usr/bin/python3

bootstrap_fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}

bootstrap_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

# bootstrap_packages NAME...: install the Debian packages that are missing, and say which.
bootstrap_packages() {
    bootstrap_missing=
    for bootstrap_name in "$@"; do
        # dpkg's own list of a package's files: a test that starts no process.
        [ -e "/var/lib/dpkg/info/$bootstrap_name.list" ] ||
            [ -e "/var/lib/dpkg/info/$bootstrap_name:$(dpkg --print-architecture 2>/dev/null).list" ] ||
            bootstrap_missing="$bootstrap_missing $bootstrap_name"
    done
    [ -n "$bootstrap_missing" ] || return 0
    command -v apt-get >/dev/null ||
        bootstrap_fail "needs$bootstrap_missing, and this machine has no apt-get: install them and run again"
    printf 'Installing Debian packages:%s\n' "$bootstrap_missing"
    # An installation that was interrupted is finished first, or apt-get refuses.
    bootstrap_as_root dpkg --configure --pending
    bootstrap_as_root apt-get -q update >/dev/null || bootstrap_fail 'apt-get update failed (see above)'
    # shellcheck disable=SC2086 # a list of words
    bootstrap_as_root apt-get -q -y install --no-install-recommends $bootstrap_missing >/dev/null ||
        bootstrap_fail "apt-get could not install$bootstrap_missing (see above)"
}

# bootstrap_venv DIRECTORY REQUIREMENTS...: a virtual environment with exactly these requirement files.
# The stamp is written last, so an interrupted run starts over.
bootstrap_venv() {
    bootstrap_directory=$1
    shift
    bootstrap_want=$(cat "$@" | sha256sum)
    if [ "$(cat "$bootstrap_directory/.requirements" 2>/dev/null)" = "$bootstrap_want" ]; then
        return 0
    fi
    "$bootstrap_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        bootstrap_fail "needs Python 3.11 or newer at $bootstrap_python"
    printf 'Installing Python packages from %s into %s\n' "$(basename -a -- "$@" | xargs)" "$bootstrap_directory"
    "$bootstrap_python" -m venv --clear --without-pip "$bootstrap_directory" ||
        bootstrap_fail "cannot make $bootstrap_directory (see above)"
    # Debian keeps pip as a wheel, which runs as it lies there: installing it first would take longer than its work.
    for bootstrap_file in "$@"; do
        PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) "$bootstrap_directory/bin/python" -m pip \
            -q --disable-pip-version-check install --no-compile -r "$bootstrap_file" ||
            bootstrap_fail "pip could not install $bootstrap_file (see above)"
    done
    printf '%s\n' "$bootstrap_want" >"$bootstrap_directory/.requirements"
}
