#!/usr/bin/env bash
# (long) A machine started from one disk installs itself onto a second, empty one, and starts from that alone. Without the last of the
# installation's steps, the boot loader's name, firmware finds nothing there.
. "$(dirname "$0")/image_guest.sh"

repo=$(cd "$(dirname "$0")/../.." && pwd)
# What formats state and data: of the product's own lock, from the image builder's store.
for name in e2fsprogs libext2fs2t64 libcom-err2 libblkid1 libuuid1; do
  digest=$(awk -v name="$name" '$1 == "package" && $2 == "root" && $3 == name {print $6}' "$repo/image/steppe.lock")
  deb=${XDG_CACHE_HOME:-$HOME/.cache}/steppe-image/debs/$digest.deb
  [ -r "$deb" ] || { bad "the package $name of image/steppe.lock is not in the store: build/release/bin/steppe-image lock image/steppe.hcl brings it"; exit 1; }
  dpkg-deb -x "$deb" "$work/packages"
done
packages=$work/packages/usr
spec "$work/install.hcl" '"loop", "squashfs", "overlay"'
# The agent is beside the program that stands in its place; what lays disks out is there, with its libraries.
needed() { for one in "$@"; do ldd "$one" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p'; done | sed 's|^/lib/|/usr/lib/|' | sort -u | grep -vE '/lib(c|m)\.so\.6$'; }
files=
for file in "/usr/bin/steppe-agent=$bin/steppe" "/usr/bin/steppe-node=$bin/steppe-node" /usr/sbin/mkfs.fat=/usr/sbin/mkfs.fat "/usr/sbin/mke2fs=$packages/sbin/mke2fs" "/usr/sbin/e2fsck=$packages/sbin/e2fsck"; do
  files+=$(printf '  file "%s" {\n    source = "%s"\n    mode   = "0755"\n    strip  = true\n  }\n' "${file%%=*}" "$(readlink -f "${file#*=}")")$'\n'
done
while read -r file; do files+="  file \"$file\" { source = \"$(readlink -f "$file")\" }"$'\n'; done < <(needed "$bin/steppe" "$bin/steppe-node" "$bin/steppe-install-agent")
for file in "$packages"/lib/x86_64-linux-gnu/lib{ext2fs,e2p,com_err,blkid,uuid}.so.?; do files+="  file \"/usr/lib/x86_64-linux-gnu/${file##*/}\" { source = \"$(readlink -f "$file")\" }"$'\n'; done
awk -v files="$files" -v agent="$bin/steppe-install-agent" -v steppe="$bin/steppe" '
  /"no_timer_check"/ { sub(/"no_timer_check"/, "\"no_timer_check\", \"steppe.standalone\"") }
  $0 == "    source = \"" steppe "\"" { sub(steppe, agent) }
  { print } /^root \{/ { printf "%s", files }' "$work/install.hcl" >"$work/machine.hcl"
"$bin/steppe-image" build "$work/machine.hcl" -o "$work/image" -disk 192MiB >"$work/out" 2>&1 || { bad "the image"; cat "$work/out"; exit 1; }
medium=$work/image/steppe-0.0.7-amd64.raw installed=$work/installed
truncate -s 1400M "$installed"

cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars"
mapfile -t words < <(firmware "$work/vars" "$medium")
guest "$work/first.log" "${words[@]}" -drive "if=none,id=second,format=raw,file=$installed" -device virtio-blk-pci,drive=second
until_line "the second disk is installed" "$work/first.log" '^TEST install /dev/vdb ended with 0: .*steppe-0\.0\.7\.efi is installed on /dev/vdb' || exit 1
until_line "the disk that it runs from is refused" "$work/first.log" '^TEST install /dev/vda ended with 1: .*was started from'
end_guest

cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars"
mapfile -t words < <(firmware "$work/vars" "$installed")
guest "$work/second.log" "${words[@]}"
until_line "from the second disk alone: the agent is ready" "$work/second.log" '^steppe: ready$'
until_line "its state is on that disk" "$work/second.log" '^steppe: storage: /state is on /dev/vda2 \(created\)'
until_line "its data, too" "$work/second.log" '^steppe: storage: /data is on /dev/vda3 \(created\)'
end_guest

mdel -i "$installed@@1M" ::/EFI/BOOT/BOOTX64.EFI || bad "take the name away"
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars"
mapfile -t words < <(firmware "$work/vars" "$installed")
guest "$work/mutant.log" "${words[@]}" -boot menu=off
until_line "without the last step firmware finds nothing" "$work/mutant.log" 'No bootable option|[Ff]ailed to (load|start)|Shell>|PXE|Not Found'
if grep -aq '^steppe: ' "$work/mutant.log"; then bad "it started nevertheless"; fi
