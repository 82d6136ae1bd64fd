#include "image/rootfs/scan.h"

#include <algorithm>
#include <array>
#include <format>

namespace steppe::rootfs {
namespace {

using Kind = Finding::Kind;

constexpr auto kShells = std::to_array<std::string_view>(
    {"ash",     "bash", "busybox", "csh",  "dash", "elvish", "fish",   "hush",  "ksh",  "mksh", "nu",
     "nushell", "pwsh", "rbash",   "sash", "sh",   "tcsh",   "toybox", "xonsh", "yash", "zsh"});
constexpr auto kInterpreters = std::to_array<std::string_view>(
    {"awk",  "bc",     "dc",     "deno", "ed",    "emacs", "erl",  "expect", "gawk",         "gdb",  "guile",
     "java", "lua",    "luajit", "m4",   "mawk",  "nawk",  "node", "nodejs", "original-awk", "perl", "php",
     "pypy", "python", "qjs",    "R",    "rhino", "ruby",  "sed",  "tclsh",  "vi",           "vim",  "wish"});
// Texts that these programs carry whatever their file is called.
struct Mark {
  Kind kind;
  std::string_view text, what;
};
constexpr auto kMarks = std::to_array<Mark>({
    {Kind::kShell, "BusyBox v", "BusyBox"},
    {Kind::kShell, "GNU bash, version", "bash"},
    {Kind::kShell, "@(#)MIRBSD KSH", "mksh"},
    {Kind::kShell, "toybox ", "toybox"},
    {Kind::kShell, "ZSH_VERSION", "zsh"},
    {Kind::kShell, "OLDPWD\0PPID", "a shell"},
    {Kind::kShell, "exec: %s: cannot execute", "a shell"},
    {Kind::kShell, "getopts: bad arguments", "a shell"},
    {Kind::kShell, "LINENO=", "a shell of ash's kind"},
    {Kind::kInterpreter, "PYTHONHOME", "Python"},
    {Kind::kInterpreter, "PERL5LIB", "Perl"},
    {Kind::kInterpreter, "RUBYLIB", "Ruby"},
    {Kind::kInterpreter, "LUA_PATH", "Lua"},
    {Kind::kInterpreter, "tclsh", "Tcl"},
    {Kind::kInterpreter, "NODE_OPTIONS", "Node.js"},
    {Kind::kInterpreter, "AWKPATH", "gawk"},
    {Kind::kInterpreter, "MAWK_LONG_OPTIONS", "mawk"},
});

// "python3.13" and "lua5.4-static" are python and lua.
bool listed(std::string_view name, std::span<const std::string_view> names) {
  return std::ranges::any_of(names, [name](std::string_view one) {
    if (!name.starts_with(one)) return false;
    const std::string_view rest = name.substr(one.size());
    return rest.empty() || rest.find_first_not_of("0123456789.") == rest.npos || rest[0] == '-' ||
           (rest[0] >= '0' && rest[0] <= '9');
  });
}

void scan_name(const std::string& path, std::string_view name, std::string_view how, std::vector<Finding>& out) {
  if (listed(name, kShells))
    out.push_back({Kind::kShell, path, std::format("{} the name of a shell", how)});
  else if (listed(name, kInterpreters))
    out.push_back({Kind::kInterpreter, path, std::format("{} the name of an interpreter", how)});
}

bool runnable_place(std::string_view path) {
  return path.starts_with("bin/") || path.starts_with("sbin/") || path.contains("/bin/") || path.contains("/sbin/") ||
         path.contains("/libexec/");
}

void scan_content(const std::string& path, const fs::Node& node, std::vector<Finding>& out) {
  const std::string_view bytes = node.bytes();
  const bool executable = (node.mode & 0111) != 0;
  if (bytes.starts_with("#!") && executable)
    out.push_back({Kind::kScript, path,
                   std::format("a script for {}", bytes.substr(2, std::min<size_t>(bytes.find('\n'), 60) - 2))});
  if (!bytes.starts_with("\x7f"
                         "ELF"))
    return;
  for (const Mark& mark : kMarks) {
    if (bytes.find(mark.text) == bytes.npos) continue;
    out.push_back({mark.kind, path, std::format("holds what {} holds", mark.what)});
    break;
  }
}

}  // namespace

std::string_view finding_name(Kind kind) {
  switch (kind) {
    case Kind::kShell: return "shell";
    case Kind::kInterpreter: return "interpreter";
    case Kind::kSetuid: return "setuid";
    case Kind::kSetgid: return "setgid";
    case Kind::kCapability: return "file capability";
    case Kind::kScript: return "script";
    case Kind::kDevice: return "device";
    case Kind::kWritable: return "writable";
  }
  return "";
}

std::vector<Finding> scan_root(const fs::Tree& tree) {
  std::vector<Finding> out;
  for (const auto& [path, node] : tree.nodes()) {
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    if (node.mode & 04000) out.push_back({Kind::kSetuid, path, std::format("mode {:04o}", node.mode)});
    if (node.mode & 02000) out.push_back({Kind::kSetgid, path, std::format("mode {:04o}", node.mode)});
    if (std::ranges::contains(node.attributes, "security.capability"))
      out.push_back({Kind::kCapability, path, "attribute security.capability"});
    if (node.kind == fs::NodeKind::kOther) out.push_back({Kind::kDevice, path, "neither file, directory nor symlink"});
    if (node.kind == fs::NodeKind::kFile && (node.mode & 022))
      out.push_back({Kind::kWritable, path, std::format("mode {:04o}", node.mode)});
    if (node.kind == fs::NodeKind::kSymlink) {
      const std::string_view target = std::string_view(node.target).substr(node.target.rfind('/') + 1);
      if (runnable_place(path)) scan_name(path, name, "has", out);
      if (runnable_place("/" + node.target) && target != name) scan_name(path, target, "leads to", out);
    }
    if (node.kind != fs::NodeKind::kFile) continue;
    if ((node.mode & 0111) != 0 || runnable_place(path)) scan_name(path, name, "has", out);
    scan_content(path, node, out);
  }
  return out;
}

}  // namespace steppe::rootfs
