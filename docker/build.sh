#!/usr/bin/env bash
# Builds the cpu target without a Docker engine, and tries it. Needs root on a Debian with buildah and debootstrap.
#
#   docker/build.sh          build; prints the image's id and size
#   docker/build.sh smoke    build, then run doctor and train in it as its own user
#
#   BASE         base image; without it one is made from Debian's packages, so that no image registry is needed
#   TORCH_INDEX  index of torch's CPU builds; without it the Dockerfile's, or none where pip knows a folder of wheels
#   STORAGE      keeps image and base in this folder for the next time; without it nothing is left behind
#   OUT          writes the image to this file, for `docker load`
#   RUNS         smoke: keeps the runs in this folder
#   SMOKE_ARGS   smoke: further settings, for example SMOKE_ARGS="rounds=1 model=testbed-small"
#   MIRROR       where debootstrap finds Debian; without it, as this machine's apt
set -euo pipefail
cd "$(dirname "$0")/.."

image=localhost/superalign:cpu
scratch=$(mktemp -d /var/tmp/superalign-build.XXXXXX)
storage=${STORAGE:-$scratch}
storage=$(realpath --canonicalize-missing "$storage")
began=$SECONDS

say() { echo "[$((SECONDS - began)) s] $*" >&2; }
fail() { echo "build.sh: $*" >&2; exit 1; }

# Overlay shares layers where the kernel lets it; vfs copies them, which works everywhere.
in_storage() {
  TMPDIR=$scratch buildah --root "$storage/images" --runroot "$scratch/run" --storage-driver "$driver" "$@"
}

clean() {
  in_storage rm --all >/dev/null 2>&1 || true
  findmnt --raw --noheadings --output TARGET | grep -F -e "$scratch/" -e "$storage/" | sort --reverse \
    | xargs --no-run-if-empty umount || true
  rm -rf "$scratch"
}

choose_driver() {
  driver=overlay
  in_storage info >/dev/null 2>&1 || driver=vfs
}

make_base() {
  local mirror=${MIRROR:-} sources=/etc/apt/sources.list.d/debian.sources
  [ -n "$mirror" ] || [ ! -f "$sources" ] || mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' "$sources" | head -n 1)
  say "making a base image from ${mirror:=http://deb.debian.org/debian}"
  debootstrap --variant=minbase --include=ca-certificates,python3-distutils,python3.11-venv \
    bookworm "$scratch/root" "$mirror" >"$scratch/debootstrap.log" \
    || fail "debootstrap failed: $(tail -n 3 "$scratch/debootstrap.log")"
  rm -rf "$scratch"/root/var/{cache/apt/*.bin,cache/apt/archives/*.deb,lib/apt/lists/*}
  local container
  container=$(in_storage from scratch)
  in_storage copy --quiet "$container" "$scratch/root" / >/dev/null
  in_storage commit --quiet --rm "$container" "$BASE" >/dev/null
  rm -rf "$scratch/root"
}

# One file with what pip is told here, and a mount for every local file or folder that it names.
hand_pip_in() {
  { echo "[global]"
    python3 -m pip config list 2>/dev/null \
      | sed -nE "s/^(:env:\.|global\.|install\.)([a-z-]+)='(.*)'$/\2 = \3/p" | awk '!seen[$1]++' || true
  } >"$scratch/pip.conf"
  local word path
  while read -r word; do
    path=${word#file://}
    # An index is a folder beside the one with its files.
    [ "$word" = "$path" ] || path=$(dirname "$path")
    [[ $path != /* ]] || [ ! -e "$path" ] || pip_arguments+=(--volume "$path:$path:ro")
  done < <(cut -d= -f2- "$scratch/pip.conf" | tr ' ' '\n')
  if [ -z "${TORCH_INDEX+set}" ] && grep -q '^find-links' "$scratch/pip.conf"; then
    TORCH_INDEX=
  fi
}

build() {
  if [ -z "${BASE:-}" ]; then
    BASE=localhost/superalign-base:bookworm
    in_storage inspect --type image "$BASE" >/dev/null 2>&1 || make_base
  fi
  local pip_arguments=(--secret "id=pip,src=$scratch/pip.conf")
  hand_pip_in
  [ -z "${TORCH_INDEX+set}" ] || pip_arguments+=(--build-arg "TORCH_INDEX=$TORCH_INDEX")
  say "building $image on $BASE ($driver storage)"
  in_storage build --isolation chroot --layers --format docker --pull=never --file docker/Dockerfile --target cpu \
    --build-arg "BASE=$BASE" "${pip_arguments[@]}" --tag "$image" . 2>&1 \
    | tee "$scratch/build.log" | grep --line-buffered STEP >&2 \
    || fail "buildah failed: $(tail -n 15 "$scratch/build.log")"
  say "built"
  in_storage images --no-trunc --format '{{.ID}} {{.Size}}' "$image"
  [ -z "${OUT:-}" ] || in_storage push --quiet "$image" "docker-archive:$OUT:superalign:cpu"
}

smoke() {
  local runs=${RUNS:-$scratch/runs} container user
  mkdir -p "$runs"
  chmod 1777 "$runs"
  container=$(in_storage from --pull-never "$image")
  inside() { in_storage run --isolation chroot --volume "$runs:/runs" "$container" -- "$@"; }
  user=$(inside id -u)
  [ "$user" != 0 ] || fail "the image runs as root"
  say "as uid $user: superalign doctor"
  inside superalign doctor
  say "superalign train recipe=selfplay ${SMOKE_ARGS:-}"
  # shellcheck disable=SC2086 # settings are words
  inside superalign train recipe=selfplay run.name=smoke ${SMOKE_ARGS:-}
  say "checking the run folder"
  inside python -c '
import json, os, pathlib
run = pathlib.Path("/runs/smoke")
summary = json.loads((run / "summary.json").read_text())  # written once, when a run is complete
assert (run / "summary.json").stat().st_uid == os.getuid() != 0, "not written by the user of the image"
assert (run / "report.html").read_text().rstrip().endswith("</html>"), "the report is cut off"'
  inside superalign status smoke
  say "good: $runs/smoke"
}

for program in buildah debootstrap; do
  command -v "$program" >/dev/null || fail "$program is missing: apt-get install buildah debootstrap"
done
[ "$(id -u)" = 0 ] || fail "debootstrap and chroot isolation need root"
choose_driver
trap clean EXIT
case ${1:-build} in
  build) build ;;
  smoke) build && smoke ;;
  *) fail "there is: build, smoke" ;;
esac
