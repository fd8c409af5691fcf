#!/usr/bin/env bash
# Gets another runtime from its npm package, into the cache folder where the tests look for it: `deno`, `bun` or `node`,
# the newest Node the tests know. None is a dependency of the project: Deno's lock entries name packages for every
# platform, which not every registry carries, Bun is 100 MB, and its own postinstall script is not needed where the
# package of the platform is named. Prints the version of what it gets, and with `path` where the program is.
set -eu
case "${1:-}" in
  deno) package=deno version=2.9.6 program=.bin/deno ;;
  bun) package=@oven/bun-linux-x64 version=1.4.5 program=$package/bin/bun ;;
  node) package=node version=26 program=node/bin/node ;;
  *) echo "which runtime? deno, bun or node" >&2; exit 1 ;;
esac
cache="${HICO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hico-webgpu}/$1"
program="$cache/node_modules/$program"
if [ ! -x "$program" ]; then
  mkdir -p "$cache"
  npm install --prefix "$cache" --no-save --no-package-lock "$package@$version" >/dev/null 2>&1
fi
if [ "${2:-}" = path ]; then echo "$program"; else "$program" --version | head -1; fi
