#!/usr/bin/env bash
# Gets Bun from its npm package, into the cache folder where the tests look for it. It is no dependency of the project:
# it is 100 MB, and its own postinstall script is not needed where the package of the platform is named.
set -eu
cache="${HICO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hico-webgpu}/bun"
package=@oven/bun-linux-x64
[ -x "$cache/node_modules/$package/bin/bun" ] && exit 0
mkdir -p "$cache"
npm install --prefix "$cache" --no-save --no-package-lock "$package@1.4.5" >/dev/null 2>&1
"$cache/node_modules/$package/bin/bun" --version
