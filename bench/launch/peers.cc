#include "bench/launch/peers.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <format>
#include <fstream>
#include <string_view>

#include "drivers/isolate/identity.h"
#include "drivers/isolate/system_filter.h"
#include "init/sys/kernel/capabilities.h"

namespace steppe::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kData[] = {"local", "secrets", "tmp", "alloc"};

std::string quoted_list(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += std::format("{}\"{}\"", out.empty() ? "" : ",", item);
  return "[" + out + "]";
}

// denied_calls() in the words of the OCI specification, which crun hands to libseccomp as we do.
std::string seccomp_profile() {
  std::string rules;
  auto add = [&](const std::vector<std::string>& names, int error, std::string_view arguments = "") {
    rules += std::format(R"({}{{"names":{},"action":"SCMP_ACT_ERRNO","errnoRet":{}{}}})", rules.empty() ? "" : ",", quoted_list(names), error, arguments);
  };
  for (const isolate::DeniedCalls& group : isolate::denied_calls()) {
    add(std::vector<std::string>(group.names.begin(), group.names.end()), group.error);
  }
  constexpr std::string_view kMasked = R"(,"args":[{{"index":{},"value":{},"valueTwo":{},"op":"SCMP_CMP_MASKED_EQ"}}])";
  for (const char* name : {"clone", "unshare"}) add({name}, 1, std::format(kMasked, 0, 0x10000000, 0x10000000));
  add({"clone3"}, 38);
  for (unsigned request : {0x5412u, 0x541cu}) add({"ioctl"}, 1, std::format(kMasked, 1, 0xffffffffu, request));
  for (unsigned bit : {0x0040000u, 0x0100000u, 0x0200000u, 0x0400000u}) add({"personality"}, 1, std::format(kMasked, 0, bit, bit));
  return std::format(R"({{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[{}]}})", rules);
}

std::string capabilities() {
  std::vector<std::string> names;
  for (const char* name : {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
                           "SETPCAP", "SETUID", "SYS_CHROOT"}) {
    names.push_back(std::format("CAP_{}", name));
  }
  return quoted_list(names);
}

std::string mounts(const Place& place) {
  std::string out = R"({"destination":"/proc","type":"proc","source":"proc"},
{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},
{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]},
{"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},
{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]},
{"destination":"/usr","type":"bind","source":"/usr","options":["bind","ro","nosuid","nodev"]},
{"destination":"/etc","type":"bind","source":"/etc","options":["bind","ro","nosuid","nodev"]})";
  for (const char* name : kData) {
    out += std::format(",\n{{\"destination\":\"/{0}\",\"type\":\"bind\",\"source\":\"{1}/{0}\",\"options\":[\"bind\",\"nosuid\",\"nodev\"]}}", name, place.root);
  }
  return out;
}

}  // namespace

Place make_place(const std::string& programs) {
  char name[] = "/tmp/steppe-launch-XXXXXX";
  Place place;
  place.base = ::mkdtemp(name);
  place.programs = programs;
  place.root = place.base + "/root";
  place.filter = place.base + "/filter";
  ::chmod(place.base.c_str(), 0755);
  for (const char* below : {"usr", "etc", "dev", "proc", "sys", "tmp", "local", "secrets", "alloc"}) fs::create_directories(place.root + "/" + below);
  for (const char* link : {"bin", "lib", "lib64", "sbin"}) {
    if (fs::is_symlink(std::string("/") + link)) fs::create_symlink(fs::read_symlink(std::string("/") + link), place.root + "/" + link);
  }
  place.program = "/local/payload";
  fs::copy_file(programs + "/launch-payload", place.root + place.program);
  auto filter = isolate::build_system_filter(isolate::default_capabilities());
  if (!filter.ok()) {
    std::fprintf(stderr, "launch-bench: %s\n", filter.error().message().c_str());
    std::exit(1);
  }
  std::ofstream(place.filter, std::ios::binary)
      .write(reinterpret_cast<const char*>(filter->data()), static_cast<std::streamsize>(filter->size() * sizeof(sock_filter)));
  return place;
}

std::vector<std::string> bubblewrap_command(const Place& place, int filter_fd) {
  std::vector<std::string> out = {"bwrap", "--ro-bind", place.root, "/", "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc",
                                  "--proc", "/proc", "--dev", "/dev", "--ro-bind", "/sys", "/sys"};
  for (const char* name : kData) {
    for (std::string word : {std::string("--bind"), std::format("{}/{}", place.root, name), std::format("/{}", name)}) out.push_back(word);
  }
  for (const char* word : {"--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--new-session", "--die-with-parent",
                           "--cap-drop", "ALL", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--seccomp"}) {
    out.emplace_back(word);
  }
  out.push_back(std::to_string(filter_fd));
  out.push_back(place.program);
  return out;
}

std::optional<std::string> write_bundle(const Place& place, const std::string& bundle, bool network) {
  fs::create_directories(bundle);
  std::ofstream file(bundle + "/config.json");
  file << std::format(R"({{"ociVersion":"1.0.0","process":{{"terminal":false,"user":{{"uid":65534,"gid":65534}},
"args":["{5}"],"env":["PATH=/usr/bin:/bin"],"cwd":"/","capabilities":{{"bounding":{0}}},"noNewPrivileges":true}},
"root":{{"path":"{1}","readonly":true}},"hostname":"crun","mounts":[{2}],
"linux":{{"resources":{{"devices":[{{"allow":false,"access":"rwm"}}]}},
"namespaces":[{{"type":"pid"}},{3}{{"type":"ipc"}},{{"type":"uts"}},{{"type":"cgroup"}},{{"type":"mount"}}],
"maskedPaths":["/proc/acpi","/proc/asound","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats",
"/proc/sched_debug","/sys/firmware","/proc/scsi"],
"readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],
"seccomp":{4}}}}})",
                      capabilities(), place.root, mounts(place), network ? R"({"type":"network"},)" : "", seccomp_profile(), place.program);
  file.close();
  if (!file.good()) return std::format("cannot write {}/config.json", bundle);
  return std::nullopt;
}

std::vector<std::string> crun_command(const std::string& bundle, int number) {
  return {"crun", "run", "--bundle", bundle, std::format("steppe-bench-{}", number)};
}

}  // namespace steppe::bench
