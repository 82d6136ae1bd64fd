# Sourced by tests/vm/run: the ways in which a machine gets its image (stick, disc, network), and surroundings in which it has to come up
# (no network, exchanged network cards).
#
# The images are those of the image builder over the build root's small kernel, made once and kept in the build directory until a program
# changes. Firmware and kernel speak on one serial line, which is the console that is judged.

# name | tags | mutant, under which it fails | what it shows
media='
usb|long|usb-cut|from a stick (usb-storage on xhci) under UEFI firmware, by the boot loader on it
iso|long|iso-cut|from a disc (El Torito) under UEFI firmware
iso-stick|long|iso-stick-cut|the disc copied to a stick: the same medium by its partition table
pxe|long|pxe-cut|UEFI PXE: the image itself by TFTP
http|long|http-cut|UEFI HTTP boot: the image itself from a URL
ipxe|long|ipxe-cut|the set of -netboot: iPXE, its script and the image by HTTP under UEFI
no-network|long|no-network-needed|no network card at all: the machine comes up
swapped-cards|long|swapped-cards-by-name|two network cards in the other order: settings by hardware address hold
'

# What the console must have (+) and must not have (-). A mutant has to show its own failure and never be ready.
media_lines() {
  case $1 in
    *-cut | *-needed) printf '%s\n' '-steppe: ready' ;;
    swapped-cards*) ;;
    *) printf '%s\n' '+^steppe: ready$' '-Kernel panic' '-steppe: cannot boot' ;;
  esac
  case $1 in
    usb-cut) printf '%s\n' '+Error loading|Load [Ee]rror|Volume corrupt|Invalid [Pp]arameter' ;;
    iso-cut | iso-stick-cut) printf '%s\n' '+Load [Ee]rror|Volume [Cc]orrupt|failed to (load|start) Boot' ;;
    pxe-cut | http-cut) printf '%s\n' '+Load [Ee]rror|[Ff]ailed to (load|start) Boot|Not Found' ;;
    ipxe-cut) printf '%s\n' '+cannot start, trying the next way' ;;
    no-network-needed) printf '%s\n' '+steppe: agent exited with [1-9].*, start 3' ;;
    swapped-cards) printf '%s\n' '+^steppe: ready$' '+^steppe: machine: .*eth0 10\.9\.2\.1/24' '+^steppe: machine: .*eth1 10\.9\.1\.1/24' '-steppe: machine: .*eth0 10\.9\.1\.1/24' ;;
    swapped-cards-by-name) printf '%s\n' '+^steppe: machine: .*eth0 10\.9\.1\.1/24' '-steppe: machine: .*eth0 10\.9\.2\.1/24' ;;
  esac
}

# The spec of a small image. $1: plain (no network, the agent alone) or node (steppe-node and DHCP as well).
media_spec() {
  local kind=$1 file program programs="$build/bin/steppe"
  printf 'image { version = "0.0.7" }\nkernel {\n  directory = "/"\n  classes   = ["virtio", "fs", "container"]\n  initrd    = ["loop", "squashfs", "overlay"]\n'
  printf '  arguments = ["console=ttyS0", "quiet", "panic=-1", "no_timer_check"]\n}\nboot {\n  init  = "%s/bin/steppe-init"\n  strip = true\n}\nroot {\n' "$build"
  [ "$kind" = plain ] || programs="$programs $build/bin/steppe-node /usr/sbin/dhcpcd"
  for program in $programs; do
    case $program in /usr/*) file=$program ;; *) file=/usr/bin/${program##*/} ;; esac
    printf '  file "%s" {\n    source = "%s"\n    mode = "0755"\n    strip = true\n  }\n' "$file" "$program"
  done
  printf '  file "/usr/bin/steppe-executor" {\n    source = "%s/bin/steppe-executor"\n    mode = "0755"\n  }\n' "$build"
  for program in $programs; do ldd "$program"; done | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\).*/\1/p' | sed 's|^/lib|/usr/lib|' | LC_ALL=C sort -u |
    while read -r file; do printf '  file "%s" {\n    source = "%s"\n    mode = "0755"\n  }\n' "$file" "$file"; done
  printf '  link "/lib" { target = "usr/lib" }\n  link "/lib64" { target = "usr/lib64" }\n'
  printf '  file "/etc/passwd" { content = "root:x:0:0:root:/:/nonexistent\\nnobody:x:65534:65534:nobody:/:/nonexistent\\n" }\n  file "/etc/group" { content = "root:x:0:\\nnogroup:x:65534:\\n" }\n}\n'
  printf 'compression {\n  level = 1\n  block = "128KiB"\n}\nlimits { image = "64MiB" }\n'
  printf 'hardening {\n  waive "kernel CONFIG_AMD_IOMMU" { reason = "a kernel for guests" }\n  waive "kernel CONFIG_HW_RANDOM_TPM" { reason = "a kernel for guests" }\n}\n'
}

# Makes the images of a kind when a program of theirs has changed; says where they are.
media_images() {
  local kind=$1 directory=$build/vm-images/$1 key program
  for program in steppe steppe-init steppe-node steppe-executor steppe-image; do [ -x "$build/bin/$program" ] || die "$build/bin/$program is not built"; done
  mkdir -p "$directory"
  exec 9>"$directory/lock"; flock 9  # until this subshell ends
  media_spec "$kind" >"$directory/new.hcl"
  key=$( (cat "$directory/new.hcl" && cd "$build/bin" && sha256sum steppe steppe-init steppe-node steppe-executor steppe-image) | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$directory/key" 2>/dev/null)" != "$key" ]; then
    rm -f "$directory/key"
    mv "$directory/new.hcl" "$directory/spec.hcl"
    "$build/bin/steppe-image" build "$directory/spec.hcl" -o "$directory" -disk 192MiB -iso -netboot >"$directory/log" 2>&1 || { cat "$directory/log"; die "the $kind images cannot be built"; }
    printf '%s' "$key" >"$directory/key"
  fi
  printf '%s/steppe-0.0.7-amd64' "$directory"
}

# The image cut after two thirds, as FILE.
cut_image() { head -c $(($(stat -c %s "$1") * 2 / 3)) "$1" >"$2"; }

media_firmware() {
  cp /usr/share/OVMF/OVMF_VARS_4M.fd "$1/vars"
  printf '%s\n' -machine q35 -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive "if=pflash,format=raw,file=$1/vars"
}
media_stick() { printf '%s\n' -device qemu-xhci -drive "if=none,id=stick,format=raw,snapshot=on,file=$1" -device usb-storage,drive=stick,bootindex=0; }

# A server of one directory on the host's loopback, which guests reach as 10.0.2.2. Sets media_port and media_server.
media_serve() {
  python3 -u -m http.server --bind 127.0.0.1 --directory "$1" 0 >"$2/http.log" 2>&1 &
  media_server=$!
  local i
  for i in $(seq 100); do
    media_port=$(sed -n 's/^Serving HTTP on .* port \([0-9]*\) .*/\1/p' "$2/http.log")
    [ -n "$media_port" ] && return 0
    sleep 0.1
  done
  die "the HTTP server did not start: $(cat "$2/http.log")"
}

# What QEMU is told for a variant, one word a line. $1: the variant, $2: its directory.
media_words() {
  local variant=$1 work=$2 image
  case $variant in no-* | swapped-*) ;; *) image=$(media_images plain) || exit 1 ;; esac
  case $variant in
    usb | usb-cut)
      cp "$image.raw" "$work/disk"
      if [ "$variant" = usb-cut ]; then cut_image "$image.efi" "$work/cut"; mcopy -o -i "$work/disk@@1048576" "$work/cut" ::/EFI/Linux/steppe-0.0.7.efi; fi
      media_firmware "$work"
      media_stick "$work/disk" ;;
    iso | iso-cut | iso-stick | iso-stick-cut)
      cp "$image.iso" "$work/iso"
      # The file system begins where the partition table says; in it the image is overwritten, so that the medium stays whole.
      if [ "$variant" != "${variant%-cut}" ]; then cut_image "$image.efi" "$work/cut"; mcopy -o -i "$work/iso@@$(($(sfdisk -J "$work/iso" | jq '.partitiontable.partitions[] | select(.type | startswith("C12A")).start') * 512))" "$work/cut" ::/EFI/BOOT/BOOTX64.EFI; fi
      media_firmware "$work"
      case $variant in iso-stick*) media_stick "$work/iso" ;; *) printf '%s\n' -drive "if=none,id=disc,format=raw,media=cdrom,readonly=on,file=$work/iso" -device ide-cd,drive=disc,bootindex=0 ;; esac ;;
    pxe | pxe-cut | http | http-cut) media_network_words "$variant" "$work" "$image" ;;
    ipxe*) media_ipxe_words "$variant" "$work" "$image" ;;
    *)
      image=$(media_images node) || exit 1
      printf '%s\n' -machine q35 -kernel "$image.vmlinuz" -initrd "$image.initrd" -append "console=ttyS0 quiet panic=-1 no_timer_check" -fw_cfg "name=opt/steppe/config,file=$work/machine.hcl"
      media_cards "$variant" "$work" ;;
  esac
}

# Firmware that has no program on any disk and asks the network. QEMU's own DHCP and TFTP answer PXE; an HTTP URL is a boot entry.
media_network_words() {
  local variant=$1 work=$2 image=$3
  mkdir -p "$work/www"
  if [ "$variant" = "${variant%-cut}" ]; then cp "$image.efi" "$work/www/steppe.efi"; else cut_image "$image.efi" "$work/www/steppe.efi"; fi
  media_firmware "$work"
  printf '%s\n' -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n
  case $variant in
    pxe*) printf '%s\n' -netdev "user,id=net,tftp=$work/www,bootfile=steppe.efi" -device virtio-net-pci,netdev=net,romfile=,bootindex=0 ;;
    http*)
      media_serve "$work/www" "$work"
      virt-fw-vars --inplace "$work/vars" --set-boot-uri "http://10.0.2.2:$media_port/steppe.efi" >"$work/vars.log" 2>&1 || die "virt-fw-vars: $(cat "$work/vars.log")"
      printf '%s\n' -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= ;;
  esac
}

# iPXE, by TFTP, finds a script of its own beside it.
media_ipxe_words() {
  local variant=$1 work=$2 image=$3 name=steppe-0.0.7-amd64
  mkdir -p "$work/www" "$work/tftp"
  cp "$image.efi" "$image.vmlinuz" "$image.initrd" "$image.ipxe" "$work/www/"
  case $variant in
    ipxe-cut) cut_image "$image.efi" "$work/www/$name.efi" ;;
  esac
  media_serve "$work/www" "$work"
  printf '#!ipxe\ndhcp\nchain http://10.0.2.2:%s/%s.ipxe\n' "$media_port" "$name" >"$work/tftp/autoexec.ipxe"
  case $variant in
    *)
      cp /usr/lib/ipxe/snponly.efi "$work/tftp/"
      media_firmware "$work"
      printf '%s\n' -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n -netdev "user,id=net,tftp=$work/tftp,bootfile=snponly.efi" -device virtio-net-pci,netdev=net,romfile=,bootindex=0 ;;
  esac
}

# The network cards of a variant and the settings for them.
media_cards() {
  local variant=$1 work=$2 first=52:54:00:00:00:0a second=52:54:00:00:00:0b by
  {
    printf 'version = 1\nidentity {\n  hostname = "vm-7"\n}\n'
    case $variant in *-needed) printf 'agent {\n  bind_addr = "10.0.2.15"\n}\n' ;; esac
    case $variant in swapped-cards*)
      printf 'network {\n'
      for number in 1 2; do
        if [ "$variant" = swapped-cards ]; then by="mac = \"$([ $number = 1 ] && echo $first || echo $second)\""; else by="name = \"eth$((number - 1))\""; fi
        printf '  link "card%s" {\n    %s\n    addresses = ["10.9.%s.1/24"]\n  }\n' $number "$by" $number
      done
      printf '}\n' ;;
    esac
  } >"$work/machine.hcl"
  case $variant in
    swapped-cards*) printf '%s\n' -netdev hubport,id=b,hubid=1 -device "virtio-net-pci,netdev=b,mac=$second,romfile=" -netdev hubport,id=a,hubid=2 -device "virtio-net-pci,netdev=a,mac=$first,romfile=" ;;
  esac
}

# What is wrong with a console so far, one line each; nothing once all is as it has to be.
judge_media() {
  local line
  media_lines "$1" | while IFS= read -r line; do
    case $line in
      +*) grep -aqE -- "${line#+}" "$2" || printf 'no line "%s"\n' "${line#+}" ;;
      -*) ! grep -aqE -- "${line#-}" "$2" || printf 'a line "%s"\n' "${line#-}" ;;
    esac
  done
}

# Boots one variant until its console is as it must be, the guest ends, or the deadline has passed. Says what is wrong.
boot_media() {
  local variant=$1 work=$2 guest wrong i words media_server='' media_port=''
  media_words "$variant" "$work" >"$work/words"
  mapfile -t words <"$work/words"
  : >"$work/serial"
  qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -nodefaults -display none -no-reboot -serial "file:$work/serial" -device virtio-rng-pci "${words[@]}" </dev/null >"$work/qemu.log" 2>&1 &
  guest=$!
  wrong='nothing was looked at'
  for i in $(seq $((deadline * 2))); do
    # Colours and cursor movements of the firmware stand between and before words.
    tr -d '\r' <"$work/serial" | sed 's/\x1b\[[0-9;=]*[A-Za-z]//g' >"$work/console"
    wrong=$(judge_media "$variant" "$work/console")
    case $wrong in *'a line "'*) break ;; '') break ;; esac
    [ -d "/proc/$guest" ] || { wrong="the guest ended; $wrong $(tail -n 3 "$work/qemu.log")"; break; }
    sleep 0.5
  done
  kill "$guest" 2>/dev/null; wait "$guest" 2>/dev/null || true
  [ -z "$media_server" ] || { kill "$media_server" 2>/dev/null || true; }
  printf '%s' "$wrong"
  return 0
}

# One scenario, then its mutant, which has to fail as it is said to.
run_media() {
  local row=$1 name mutant variant work wrong started=$SECONDS
  name=$(field "$row" 1); mutant=$(field "$row" 3)
  for variant in "$name" "$mutant"; do
    work=$(mktemp -d)
    wrong=$(boot_media "$variant" "$work") || wrong="it could not be set up: $wrong"
    if [ -n "$wrong" ]; then
      printf 'FAIL %-15s %3d s  %s: %s; the console follows\n' "$name" $((SECONDS - started)) "$variant" "$wrong"
      tail -n 60 "$work/console"
      rm -rf "$work"
      return 1
    fi
    rm -rf "$work"
  done
  printf 'ok   %-15s %3d s  %s rules; its mutant %s was found\n' "$name" $((SECONDS - started)) "$(media_lines "$name" | wc -l)" "$mutant"
}
