#!/usr/bin/env bash
# Gets lavapipe, Mesa's software Vulkan driver, on Debian and Ubuntu: the distribution's (enough for Deno), and on
# Debian 12 also the one of bookworm-backports, which Dawn (Node) accepts. The latter is only unpacked, into the cache
# folder where src/device/software-vulkan.ts looks; the system's stays as it is.
# Prints what it has, and fails where it has nothing.
set -u
cache="${HICO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hico-webgpu}/lavapipe"

command -v apt-get >/dev/null || { echo "lavapipe: no apt-get here" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
if ! compgen -G "/usr/share/vulkan/icd.d/lvp_icd*.json" >/dev/null || ! ldconfig -p | grep -q 'libvulkan\.so\.1'; then
  apt-get update -qq >/dev/null 2>&1
  apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1 >/dev/null 2>&1 \
    || { echo "lavapipe: apt-get install mesa-vulkan-drivers failed" >&2; exit 1; }
fi
echo "lavapipe: $(dpkg-query -W -f '${Version}' mesa-vulkan-drivers) of the system"

if [ ! -e "$cache/lvp_icd.json" ] && grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/lists/partial" "$work/root"
  # apt's sandbox user must be able to write the package here.
  chmod 755 "$work"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main" \
    > "$work/sources.list"
  options=(-o "Dir::State::Lists=$work/lists" -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o APT::Sandbox::User=root)
  if (cd "$work" && apt-get "${options[@]}" update -qq && apt-get "${options[@]}" download -qq \
      mesa-vulkan-drivers/bookworm-backports) >/dev/null 2>&1 && dpkg -x "$work"/mesa-vulkan-drivers_*.deb "$work/root"
  then
    library="$(find "$work/root" -name libvulkan_lvp.so)"
    if ldd "$library" | grep -q 'not found'; then
      echo "lavapipe: that of bookworm-backports misses $(ldd "$library" | grep 'not found' | tr -s ' \t' ' ')" >&2
    else
      mkdir -p "$cache"
      cp "$library" "$cache/libvulkan_lvp.so"
      printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.4.305"}}\n' \
        "$cache/libvulkan_lvp.so" > "$cache/lvp_icd.json.part"
      mv "$cache/lvp_icd.json.part" "$cache/lvp_icd.json"
    fi
  else
    echo "lavapipe: bookworm-backports cannot be reached; Node needs a newer Mesa than the system's" >&2
  fi
fi
[ -e "$cache/lvp_icd.json" ] && echo "lavapipe: of bookworm-backports in $cache"
exit 0
