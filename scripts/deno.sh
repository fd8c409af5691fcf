#!/usr/bin/env bash
# Gets Deno from its npm package, into the cache folder where the tests look for it. It is no dependency of the project:
# its lock entries name packages for every platform, which not every registry carries.
set -eu
cache="${HICO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hico-webgpu}/deno"
[ -x "$cache/node_modules/.bin/deno" ] && exit 0
mkdir -p "$cache"
npm install --prefix "$cache" --no-save --no-package-lock deno@2.9.6 >/dev/null 2>&1
"$cache/node_modules/.bin/deno" --version | head -1
