#!/usr/bin/env bash
# steppe-image write on real block devices (loop): what it refuses, what it writes, and in which state a failing device is left.
set -uo pipefail
bin=${STEPPE_BIN:-/src/build/release/bin}
[ "$(id -u)" = 0 ] || { printf 'SKIPPED image_write: loop devices need root\n'; exit 0; }
[ "${1:-}" = inside ] || exec unshare --mount --propagation private "$0" inside
work=$(mktemp -d /tmp/steppe-write-XXXXXX)
failures=0
loops=()
end() { local one; umount "$work/mnt" 2>/dev/null; for one in "${loops[@]}"; do losetup -d "$one" 2>/dev/null; done; umount "$work/full" 2>/dev/null; rm -rf "$work"; }
trap 'end; exit $((failures > 0))' EXIT
trap 'failures=1; exit 1' INT TERM
ok() { printf 'ok      %s\n' "$1"; }
bad() { printf 'FAILED  %s\n' "$1"; failures=$((failures + 1)); }
expect() { local name=$1; shift; if "$@" >"$work/out" 2>&1; then ok "$name"; else bad "$name: $*"; head -c 3000 "$work/out"; fi; }
refused() {
  local name=$1 pattern=$2; shift 2
  if "$@" >"$work/out" 2>&1; then bad "$name: it was accepted"; elif grep -Eq -- "$pattern" "$work/out"; then ok "$name"; else bad "$name: no \"$pattern\""; head -c 3000 "$work/out"; fi
}
write() { "$bin/steppe-image" write "$@"; }
# attach FILE [LOSETUP-WORDS...]: a loop device over it, as $device.
attach() { device=$(losetup -f --show "${@:2}" "$1") || { printf 'SKIPPED image_write: no loop device can be had here\n'; exit 0; }; loops+=("$device"); }
same() { cmp --bytes="$(stat -c %s "$1")" "$1" "$2"; }
no_table() { [ "$(head -c 1048576 "$1" | tr -d '\0' | wc -c)" = 0 ]; }

# A disk image with a partition table and content that does not repeat.
truncate -s 9M "$work/disk.raw"
printf 'label: gpt\nstart=2048, size=12288\n' | sfdisk --quiet "$work/disk.raw" >/dev/null
head -c 5000000 /dev/urandom | dd of="$work/disk.raw" bs=1M seek=1 conv=notrunc status=none
size=16777216
# The device holds something old, with a partition table of its own at both ends.
head -c $size /dev/urandom >"$work/stick"
printf 'label: gpt\nstart=2048, size=2048\n' | sfdisk --quiet "$work/stick" >/dev/null
attach "$work/stick"; stick=$device
cp "$work/stick" "$work/before"

# --- What is refused; the device stays as it was.
refused "without a word that means this device" "$size bytes\\)\\. All that is on it would be lost\\. If it is the one, say so with -yes $size" write "$work/disk.raw" "$stick"
refused "with another device's" 'another device than the one you mean' write "$work/disk.raw" "$stick" -yes 12345
refused "a file" 'is no block device' write "$work/disk.raw" "$work/stick" -yes $size
refused "a device that is not there" 'No such file' write "$work/disk.raw" /dev/no-such-device -yes $size
refused "one word" 'expected a disk image and a device' write "$work/disk.raw"
printf 'MZ' >"$work/image.efi"; truncate -s 2M "$work/image.efi"
refused "the image alone" 'the image alone.*\.raw' write "$work/image.efi" "$stick" -yes $size
qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
refused "a qcow2" 'this is a qcow2' write "$work/disk.qcow2" "$stick" -yes $size
truncate -s 8M "$work/small"; attach "$work/small"
refused "a device that is too small" 'has 8388608 bytes, the image 9437184' write "$work/disk.raw" "$device" -yes 8388608
cp "$work/before" "$work/locked"; attach "$work/locked" -r
refused "a read-only one" 'is read-only' write "$work/disk.raw" "$device" -yes $size
cp "$work/before" "$work/parts"; attach "$work/parts" -P
[ -b "${device}p1" ] || partx --add "$device"  # a kernel that does not read partition tables itself
if [ -b "${device}p1" ]; then
  refused "a partition" "is a partition of $device" write "$work/disk.raw" "${device}p1" -yes 1048576
  mkdir "$work/mnt" "$work/empty"; mksquashfs "$work/empty" "$work/files.sqfs" -quiet -no-progress >/dev/null 2>&1; dd if="$work/files.sqfs" of="${device}p1" status=none
  mount -t squashfs -o ro "${device}p1" "$work/mnt" || bad "a mount"
  refused "a disk with a mounted partition" "${device#/dev/}p1 is mounted at $work/mnt" write "$work/disk.raw" "$device" -yes $size
  umount "$work/mnt"
  # Mounted where this process cannot see it: in the namespace of a process that sleeps.
  unshare --mount --propagation private sh -c "mount -t squashfs -o ro '${device}p1' '$work/mnt' && touch '$work/mounted' && exec sleep 600" & sleeper=$!
  for _ in $(seq 100); do [ -e "$work/mounted" ] && break; sleep 0.1; done
  refused "one that is mounted in another namespace" 'the kernel lets nobody open it alone' write "$work/disk.raw" "$device" -yes $size
  kill $sleeper; wait $sleeper 2>/dev/null
else
  bad "the kernel made no partitions of a loop device"
fi
expect "refusals changed nothing" cmp "$work/stick" "$work/before"

# --- What is written.
expect "the image is written" write "$work/disk.raw" "$stick" -yes $size
grep -q "sha256 $(sha256sum "$work/disk.raw" | cut -d' ' -f1)" "$work/out" && ok "and its digest is the file's" || { bad "and its digest is the file's"; cat "$work/out"; }
grep -q '^reading back 9 MiB' "$work/out" && ok "it says what it does" || bad "it says what it does"
expect "it is on the device" same "$work/disk.raw" "$stick"
[ "$(tail -c 1048576 "$stick" | tr -d '\0' | wc -c)" = 0 ] && ok "the old table's copy at the end is gone" || bad "the old table's copy at the end is gone"
expect "what lies between stayed" cmp --ignore-initial=9437184 --bytes=6291456 "$work/before" "$stick"
expect "once more, over itself" write "$work/disk.raw" "$stick" -yes $size

# --- A device that fails while it is written: its backing has no room for all of it.
mkdir "$work/full"; mount -t tmpfs -o size=4m tmpfs "$work/full"; truncate -s $size "$work/full/device"
attach "$work/full/device"
refused "a device that fails" '(Input/output error|No space left).*State: the device holds no whole image and no partition table' write "$work/disk.raw" "$device" -yes $size
expect "it has no partition table, so that nothing starts from it" no_table "$device"
