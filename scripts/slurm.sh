#!/usr/bin/env bash
# Installs Slurm and munge from Debian, for the test that runs a sweep on a real cluster of one node (test/sweep).
set -eu
command -v slurmctld >/dev/null || [ -x /usr/sbin/slurmctld ] && { echo "Slurm is here"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "installing Slurm needs root"; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
/usr/sbin/slurmctld -V
