# Sourced by tests/vm/run: machines that boot steppe-init as an image does, with a kernel by -kernel.
#
# make_machine WORK KERNEL VARIANT builds WORK/initrd as the image builder would: /init, /modules with their order, and /root.sqfs. What
# looks inside is in that root alone: its /usr/bin/steppe is tests/vm/probe.cc, which runs as PID 1's one service, starts the real
# agent (/usr/bin/steppe-agent) in its place, and reports on the console. The product has no switch for any of it.

# The modules NAME needs, each after what it needs itself.
module_closure() {
  local modules=$1 name; shift
  for name in "$@"; do modprobe -d / -S "${modules##*/}" --show-depends "$name" 2>/dev/null || true; done |
    sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# A module, uncompressed, as FILE.
unpack_module() { case $1 in *.xz) xz -dc "$1" >"$2" ;; *.zst) zstd -dqc "$1" >"$2" ;; *) cp "$1" "$2" ;; esac; }

# modules.index of a directory of modules (init/boot/module_index.h has the format).
write_modules_index() {
  local tree=$1 from=$2 path name deps dep
  (
    printf 'steppe-modules 1\n'
    (cd "$tree" && find . -name '*.ko' | sed 's|^\./||') | while read -r path; do
      name=$(basename "$path" .ko | tr - _)
      deps=$(module_closure "$from" "$name" | sed '$d' | sed 's|.*/||; s|\.ko.*||' | tr - _ | paste -sd,)
      printf 'file %s %s%s\n' "$name" "$path" "${deps:+ $deps}"
    done | LC_ALL=C sort
    (cd "$tree" && find . -name '*.ko') | while read -r path; do
      name=$(basename "$path" .ko | tr - _)
      modinfo -F alias "$tree/$path" | sed "s|.*|alias & $name|"
    done | LC_ALL=C sort
  ) >"$tree/modules.index"
}

make_machine() {
  local work=$1 kernel=$2 variant=$3 release modules programs root=$1/rootfs initrd=$1/initrd.d file lib
  release=${kernel#/boot/vmlinuz-}; modules=/lib/modules/$release
  mkdir -p "$root"/{usr/bin,usr/lib64,usr/share,usr/lib/x86_64-linux-gnu,etc/ssl/certs,etc/steppe,dev,proc,sys,run,tmp,var,state,data,efi} "$root/usr/lib/modules/$release" "$initrd/modules"
  for lib in bin lib lib64; do ln -s "usr/$lib" "$root/$lib"; done
  cp "$build/bin/steppe-vm-probe" "$root/usr/bin/steppe"
  strip -o "$root/usr/bin/steppe-agent" "$build/bin/steppe"
  cp "$build/bin/steppe-executor" "$root/usr/bin/"
  programs="$build/bin/steppe"
  case $variant in storage* | state-*) add_storage_programs "$root" "$work/packages" ;; esac
  case $variant in
    network | maintenance* | broken-config* | clock* | storage* | state-*)
      mkdir -p "$root/usr/sbin" "$root/var/lib"
      cp "$build/bin/steppe-node" "$root/usr/bin/"
      cp /usr/sbin/dhcpcd "$root/usr/sbin/"
      grep -E '^(root|dhcpcd|nobody):' /etc/passwd >"$root/etc/passwd"
      programs="$programs $build/bin/steppe-node /usr/sbin/dhcpcd"
      ;;
  esac
  if [ "$variant" = clock ]; then
    cp /usr/sbin/ntpd "$root/usr/sbin/"
    echo 'ntpd:x:101:101::/run/steppe/time/empty:/nonexistent' >>"$root/etc/passwd"
    echo 'ntp 123/udp' >"$root/etc/services"
    programs="$programs /usr/sbin/ntpd"
  fi
  for file in $programs; do
    ldd "$file" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\).*/\1/p' | while read -r lib; do
      cp -L "$lib" "$root/usr${lib#/usr}"
    done
  done
  printf '%s' "$variant" >"$root/usr/share/steppe-vm"
  printf 'NAME=Steppe\nID=steppe\nVERSION_ID=0\nIMAGE_ID=steppe\nIMAGE_VERSION=0\nSTEPPE_SECURITY_VERSION=1\nSTEPPE_ARCH=amd64\n' >"$root/usr/lib/os-release"
  ln -s ../usr/lib/os-release "$root/etc/os-release"
  module_closure "$modules" loop squashfs overlay >"$work/first"
  while read -r file; do
    lib=$(basename "$file"); lib=${lib%%.ko*}.ko
    unpack_module "$file" "$initrd/modules/$lib"
    printf '%s\n' "$lib"
  done <"$work/first" >"$initrd/modules/order"
  # shellcheck disable=SC2086 # a list of words
  module_closure "$modules" virtio_net virtio_rng i6300esb softdog isofs qemu_fw_cfg $storage_modules | while read -r file; do
    lib=$(basename "$file"); lib=${lib%%.ko*}.ko
    unpack_module "$file" "$root/usr/lib/modules/$release/$lib"
  done
  write_modules_index "$root/usr/lib/modules/$release" "$modules"
  mksquashfs "$root" "$initrd/root.sqfs" -noappend -quiet -no-progress -all-root -comp zstd -Xcompression-level 3 >/dev/null
  cp "$build/bin/steppe-init" "$initrd/init"; strip "$initrd/init"
  (cd "$initrd" && find . | LC_ALL=C sort | cpio --quiet -H newc -R 0:0 -o) >"$work/initrd"
}

# name | tags | mutant, under which it fails | time: real, or virtual (waiting costs nothing) | what it shows
machines='
boot|smoke|boot-stray|real|steppe-init from initrd to ready agent: root, mounts, cgroups, modules, watchdog, processes, clock of 1970, orderly power-off
agent-killed|long|agent-killed-task-lost|virtual|an agent that ends a hundred times in all ways: backoff, count, what it left goes on
stuck-task|long|stuck-task-none|virtual|a reboot past a process that ignores SIGTERM and one that SIGKILL does not end
forced-end|long|forced-end-free|virtual|a reboot asked for while the loop of PID 1 stands still
orphans|long|orphans-kept|real|ten thousand orphans are reaped
never-ready|long|never-ready-late|virtual|an agent that is not ready within its grace: an orderly reboot with that reason
network|long|network-none|real|configuration by fw_cfg, an address, route and name server by DHCP before the agent starts, on the console
maintenance|long|maintenance-alone|real|no configuration: an address, a key and a code on the console, a document over TLS, on without a reboot
broken-config|long|broken-config-good|real|a configuration with a fault: its place on the console, an address typed there, a document over TLS, on without a reboot
clock|long|clock-none|real|a clock of 1970 is set by NTP
watchdog|long|watchdog-free|virtual|a loop that stands still is a reset by the hardware watchdog
'

# Lines that a scenario's console must have (+) and must not have (-), as extended regular expressions.
machine_lines() {
  printf '%s\n' '-VM bad' '+^VM done' '-Kernel panic' '-steppe: cannot boot'
  case $1 in
    boot) printf '%s\n' '+^steppe: ready' '+^steppe: the clock was older' '+^steppe: watchdog i6300ESB timer, 60 s' '+^steppe: powering off: asked for' \
      '+^steppe: unmounted [0-9]+ file systems, 0 left' '+^steppe: ending now' '+^VM ok processes' '+^VM ok pivot_root works' '-outlived SIGTERM' ;;
    agent-killed) printf '%s\n' '+^steppe: ready' '+^VM ok a hundred crashes' '+^VM ok what a dead agent left' '+^VM ok a PID 1 with nothing to do' '+^steppe: agent killed by signal 9, start 3 in 200 ms' \
      '+^steppe: agent exited with 1, start 4 in 400 ms' '+^steppe: powering off' ;;
    stuck-task) printf '%s\n' '+^VM ok a process that SIGKILL does not end' '+^steppe: rebooting: ctrl-alt-del' '+^steppe: processes outlived SIGTERM: killing' \
      '+^steppe: still mounted.*/tmp' '+^steppe: ending now' ;;
    forced-end) printf '%s\n' "+^VM ok PID 1's loop stands still" '+^steppe: rebooting' '-steppe: ending now' ;;
    orphans) printf '%s\n' '+^VM ok ten thousand orphans' '+^steppe: ending now' ;;
    never-ready) printf '%s\n' '+^steppe: agent killed by signal 9, start 2' '+^steppe: rebooting: the agent was not ready within its grace' '+^steppe: ending now' ;;
    network) printf '%s\n' '+^steppe: machine: .*10\.0\.2\.15' '+^steppe: ready' '+^VM ok the address by DHCP' '+^VM ok the name server by DHCP' '+^steppe: ending now' ;;
    maintenance) printf '%s\n' '+^steppe: machine: maintenance mode: no configuration' '+^steppe: machine: maintenance: https://10\.0\.2\.15:4646' \
      '+^steppe: machine: maintenance: code [A-Z2-9]{5}-[A-Z2-9]{5}$' '+^steppe: machine: maintenance: pin sha256//' '+^steppe: ready' '+^VM ok the host name' '+^steppe: powering off: asked for' ;;
    broken-config) printf '%s\n' '+configuration: fault="?opt/steppe/config:3,' '+^steppe: machine: maintenance mode: the configuration has faults' '+^steppe: machine: .*10\.0\.2\.77/24' \
      '+^steppe: ready' '+^VM ok the host name' '+^steppe: powering off: asked for' '-rebooting' ;;
    clock) printf '%s\n' '+^steppe: the clock was older' '+^steppe: time: the clock was set to 2031-0' '+^steppe: ready' '+^VM ok the clock of the server' '+^steppe: ending now' ;;
    watchdog) printf '%s\n' "+^VM ok PID 1's loop stands still" '-rebooting' '-powering off' ;;
  esac
}

# Says what is wrong with a console, one line each.
judge_machine() {
  local name=$1 console=$2 line
  machine_lines "$name" | while IFS= read -r line; do
    [ "$name$line" = never-ready+^VM\ done ] && continue
    case $line in
      +*) grep -aqE -- "${line#+}" "$console" || printf 'no line "%s"\n' "${line#+}" ;;
      -*) ! grep -aqE -- "${line#-}" "$console" || printf 'a line "%s"\n' "${line#-}" ;;
    esac
  done
}

machine_settings='version = 1
identity {
  hostname   = "vm-7"
  datacenter = "cellar"
}
'
# What the machine of VARIANT is told: `settings`, its document (""; none), and kernel `arguments`.
tell_machine() {
  settings=$machine_settings arguments=
  case $1 in
    maintenance) settings= ;;
    maintenance-alone) settings= arguments=steppe.standalone ;;
    broken-config) settings=${machine_settings/hostname /hostnam } ;;
    clock*) settings="$machine_settings"$'time {\n  servers = ["10.0.2.2"]\n}\n' ;;
  esac
}

# What stands outside of the machine and deals with it while it runs, per scenario: its console so far is WORK/console, what is written
# to WORK/keys is typed there, and PORT of 127.0.0.1 leads to its port 4646.
until_console() { local i; for i in $(seq $((deadline * 5))); do grep -aqE -- "$1" "$work/console" && return 0; sleep 0.2; done; return 1; }
on_console() { sed -n "s/^steppe: machine: maintenance: $1 //p" "$work/console" | tail -n 1; }
put_document() {
  until_console '^steppe: machine: maintenance: pin ' || return
  printf '%s' "$machine_settings" |
    curl -sk --retry 30 --retry-all-errors --retry-delay 2 --max-time 60 --pinnedpubkey "$(on_console pin)" -H "Authorization: Bearer $(on_console code)" -T - "https://127.0.0.1:$1/v1/machine/config"
}
deal_with() {
  local scenario=$1 work=$2 port=$3
  case $scenario in
    maintenance) put_document "$port" ;;
    broken-config)
      until_console '^steppe: machine: maintenance: code ' || return
      printf 'address 10.0.2.77/24 device eth0\n' >"$work/keys"
      until_console '^steppe: machine: .*10\.0\.2\.77/24' && put_document "$port"
      ;;
    clock) exec python3 -c '
import socket, struct
# An NTP server (RFC 5905) whose time is the first of February 2031.
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", 123))
import time
start = time.monotonic()
while True:
    asked, who = s.recvfrom(512)
    if len(asked) < 48: continue
    now = 1927670400 + 2208988800 + time.monotonic() - start
    stamp = struct.pack(">II", int(now), int(now % 1 * 2**32))
    s.sendto(bytes([0x24, 2, 6, 0xec]) + bytes(8) + bytes([127, 0, 0, 1]) + stamp + asked[40:48] + stamp + stamp, who)
' ;;
  esac
}

# Boots WORK/initrd until the machine ends. Nothing inside is judged by the clock; with virtual time a machine that waits is one whose
# clock runs on.
boot_machine() {
  local work=$1 kernel=$2 time=$3 variant=$4 port=$5 settings arguments accel=(-accel tcg,thread=multi -smp 2) told=()
  tell_machine "$variant"
  [ -z "$settings" ] || told=(-fw_cfg "name=opt/steppe/config,string=$settings")
  [ "$time" = virtual ] && accel=(-accel tcg,thread=single -smp 1 -icount shift=4,sleep=off)
  timeout -k 5 "$deadline" qemu-system-x86_64 "${accel[@]}" -cpu max -m 512 -nodefaults -display none -no-reboot -serial stdio \
    -kernel "$kernel" -initrd "$work/initrd" -rtc base=1970-01-02T00:00:00,clock=vm \
    "${told[@]}" -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-$([ "$variant" = broken-config ] && echo 10.0.2.77):4646" -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci -device i6300esb \
    -append "console=ttyS0 quiet panic=-1 no_timer_check $arguments" <>"$work/keys" 2>&1 | stdbuf -o0 tr -d '\r' >"$work/console"
}

# One machine scenario, then its mutant, whose console must be found wrong for another reason than the deadline.
run_machine() {
  local row=$1 name mutant time work kernel started variant status wrong port outside
  name=$(field "$row" 1); mutant=$(field "$row" 3); time=$(field "$row" 4)
  kernel=$(ls /boot/vmlinuz-*cloud* 2>/dev/null | tail -n 1)
  [ -n "$kernel" ] || die "no kernel in /boot: run inside the build root (tools/sdk/sdk run)"
  for file in steppe steppe-init steppe-node steppe-executor steppe-vm-probe; do [ -x "$build/bin/$file" ] || die "$build/bin/$file is not built"; done
  started=$SECONDS
  for variant in "$name" "$mutant"; do
    work=$(mktemp -d) status=0
    make_machine "$work" "$kernel" "$variant"
    mkfifo "$work/keys"; : >"$work/console"
    port=$((30000 + RANDOM % 10000))
    deal_with "$name" "$work" "$port" >"$work/outside" 2>&1 & outside=$!
    boot_machine "$work" "$kernel" "$time" "$variant" "$port" || status=$?
    kill $outside 2>/dev/null || true; wait $outside 2>/dev/null || true
    wrong=$(judge_machine "$name" "$work/console")
    if [ $status -ne 0 ]; then wrong="qemu ended with $status (124: the deadline)${wrong:+; $wrong}"; fi
    if { [ "$variant" = "$name" ] && [ -n "$wrong" ]; } || { [ "$variant" = "$mutant" ] && { [ -z "$wrong" ] || [ $status -ne 0 ]; }; }; then
      printf 'FAIL %-12s %3d s  %s: %s; the console follows\n' "$name" $((SECONDS - started)) "$variant" "${wrong:-its fault was not found}"
      tail -n 120 "$work/console"
      cat "$work/outside"
      rm -rf "$work"
      return 1
    fi
    rm -rf "$work"
  done
  printf 'ok   %-12s %3d s  %s; its mutant %s was found\n' "$name" $((SECONDS - started)) "$(machine_lines "$name" | wc -l) rules" "$mutant"
}
