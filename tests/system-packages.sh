#!/bin/sh
# Installs the programs of other projects that the tests talk to, on Debian and Ubuntu, when this user may.
# Says nothing when all are there. Starts no service: tests run these programs themselves, on free ports.
# Ends with 1 and the names of the packages where it cannot install them.
set -eu
PATH="$PATH:/usr/sbin:/sbin"

# `--version` and not `command -v`: Debian's psql and pgbench are wrappers that exist before what they wrap.
present() {
  "$1" --version >/dev/null 2>&1
}

packages=
need() { # program, package
  present "$1" || packages="$packages $2"
}
need nats-server nats-server
need psql postgresql-client
need curl curl
need pgbench postgresql
need pgbouncer pgbouncer
need strace strace

# Drivers of other languages: what cannot be installed is skipped by its tests, which say so.
optional=
python() {
  /usr/bin/python3 -c "import $1" >/dev/null 2>&1
}
python psycopg || optional="$optional python3-psycopg"
python psycopg2 || optional="$optional python3-psycopg2"
# Its driver is small; a Java only for this would not be.
if present javac && [ ! -e /usr/share/java/postgresql.jar ]; then
  optional="$optional libpostgresql-jdbc-java"
fi
[ -n "$packages$optional" ] || exit 0
packages=${packages# }

give_up() {
  # Without the optional ones the tests run as well.
  [ -n "$packages" ] || exit 0
  echo "The tests need programs of these system packages: $packages." >&2
  echo "$1 Install them (Debian, Ubuntu: apt-get install $packages) and run the tests again." >&2
  exit 1
}

command -v apt-get >/dev/null || give_up "This system has no apt-get."
if [ "$(id -u)" = 0 ]; then
  as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  give_up "Only root can install them, and sudo asks for a password."
fi

# While this file stands, installing a package starts no service; one that was there already is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '$as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
  $as_root chmod 755 "$policy"
fi

log=$(mktemp)
# shellcheck disable=SC2086 # $as_root may be nothing, "$@" are packages
install() {
  echo "Installing system packages for the tests: $*"
  $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -q --no-install-recommends "$@" >>"$log" 2>&1
}
# shellcheck disable=SC2086
$as_root apt-get update -q >>"$log" 2>&1 || echo "apt-get update failed" >>"$log"
# shellcheck disable=SC2086 # $packages is a list
[ -z "$packages" ] || install $packages || {
  tail -n 20 "$log" >&2
  rm -f "$log"
  give_up "apt-get failed with the lines above."
}
for package in $optional; do
  install "$package" || echo "It could not be installed; its tests are skipped."
done
rm -f "$log"
