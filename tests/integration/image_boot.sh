#!/usr/bin/env bash
# A disk image starts under UEFI firmware and the agent comes up; so do kernel and initrd of the network boot set; an image
# without what mounts its root says so.
. "$(dirname "$0")/image_guest.sh"

spec "$work/good.hcl" '"loop", "squashfs", "overlay"'
"$bin/steppe-image" build "$work/good.hcl" -o "$work/good" -disk 192MiB -netboot >"$work/out" 2>&1 || { bad "the image"; cat "$work/out"; exit 1; }
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$work/vars"
mapfile -t words < <(firmware "$work/vars" "$work/good/steppe-0.0.7-amd64.raw")
guest "$work/disk.log" "${words[@]}"
until_line "from the disk: the agent is ready" "$work/disk.log" '^steppe: ready$'

# What iPXE does: kernel and initrd, and arguments of its own in place of the image's.
guest "$work/net.log" -machine q35 -kernel "$work/good/steppe-0.0.7-amd64.vmlinuz" -initrd "$work/good/steppe-0.0.7-amd64.initrd" -append "console=ttyS0 quiet panic=-1 no_timer_check"
until_line "as from the network: the agent is ready" "$work/net.log" '^steppe: ready$'

spec "$work/broken.hcl" '"overlay"'
"$bin/steppe-image" build "$work/broken.hcl" -o "$work/broken" -netboot >"$work/out" 2>&1 || { bad "the broken image"; cat "$work/out"; exit 1; }
guest "$work/broken.log" -machine q35 -kernel "$work/broken/steppe-0.0.7-amd64.vmlinuz" -initrd "$work/broken/steppe-0.0.7-amd64.initrd" -append "console=ttyS0 quiet panic=-1 no_timer_check"
until_line "without loop and squashfs it cannot, and says so" "$work/broken.log" '^steppe: cannot boot: '
if grep -aq '^steppe: ready' "$work/broken.log"; then bad "it was ready nevertheless"; fi
