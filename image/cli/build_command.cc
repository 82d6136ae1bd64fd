#include <algorithm>
#include <format>

#include "image/build/image.h"
#include "image/cli/commands.h"
#include "image/cli/words.h"
#include "init/base/byte_size.h"
#include "init/base/text.h"
#include "init/io/path_file.h"
#include "init/json/writer.h"

namespace steppe::cli {
namespace {

constexpr Bytes kMaxSpec = Bytes::mib(4);

// What both commands start from.
struct Start {
  spec::Spec spec;
  std::string store;
};

Result<Start> start(Context& context, const Words& words) {
  if (words.rest().size() != 1) return Error(Code::kInvalid, "expected the path of one spec");
  spec::Variables variables;
  for (const std::string& text : words.values("var")) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      return Error(Code::kInvalid, std::format("-var {}: expected NAME=VALUE", text));
    variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  const std::string path = build::absolute_path(words.rest()[0], context.working_directory);
  STEPPE_TRY(std::string text, io::read_path(path, kMaxSpec));
  Start out;
  STEPPE_TRY(out.spec, spec::parse_spec(std::move(text), path, variables));
  if (const auto epoch = context.environment.find("SOURCE_DATE_EPOCH"); epoch != context.environment.end()) {
    const auto date = parse_uint(epoch->second);
    if (!date.ok() || *date > 0xffffffff)
      return Error(Code::kInvalid,
                   std::format("SOURCE_DATE_EPOCH=\"{}\": expected seconds from 1970 to 2106", epoch->second));
    out.spec.image.date_s = static_cast<int64_t>(*date);
  }
  const auto cache = context.environment.find("XDG_CACHE_HOME"), home = context.environment.find("HOME");
  if (const auto given = words.value("store"))
    out.store = build::absolute_path(*given, context.working_directory);
  else if (cache != context.environment.end() && cache->second.starts_with('/'))
    out.store = cache->second + "/steppe-image";
  else if (home != context.environment.end() && home->second.starts_with('/'))
    out.store = home->second + "/.cache/steppe-image";
  else
    return Error(Code::kInvalid, "neither XDG_CACHE_HOME nor HOME says where packages are kept: use -store DIR");
  return out;
}

build::Report make_report(Context& context) {
  return {.step =
              [&context](const std::string& text) {
                context.error(context.terminal ? std::format("\r\x1b[K{}…", text) : text + "\n");
              },
          .warning =
              [&context](const std::string& text) {
                context.error(std::format("{}WARNING: {}\n", context.terminal ? "\r\x1b[K" : "", text));
              }};
}

std::string as_json(const build::Outcome& outcome) {
  std::string out;
  json::Writer writer(&out, json::Style::kPretty);
  writer.begin_object();
  writer.key("image"), writer.text(outcome.image);
  writer.key("sha256"), writer.text(outcome.digest);
  writer.key("bytes"), writer.unsigned_integer(outcome.size);
  writer.key("task_root_bytes"), writer.unsigned_integer(outcome.task_root_size);
  writer.key("signed"), writer.boolean(outcome.is_signed);
  writer.key("kernel"), writer.text(outcome.kernel);
  writer.key("modules"), writer.unsigned_integer(outcome.module_count);
  writer.key("extensions"), writer.begin_array();
  for (const upgrade::Extension& one : outcome.extensions) {
    writer.begin_object();
    writer.key("name"), writer.text(one.name);
    writer.key("sha256"), writer.text(hex(one.digest));
    writer.key("bytes"), writer.unsigned_integer(one.size);
    writer.end_object();
  }
  writer.end_array();
  writer.key("files"), writer.begin_array();
  for (const std::string& file : outcome.files) writer.text(file);
  writer.end_array();
  writer.key("shares"), writer.begin_array();
  for (const build::Share& share : outcome.shares) {
    writer.begin_object();
    writer.key("name"), writer.text(share.name);
    writer.key("bytes"), writer.unsigned_integer(share.bytes);
    writer.end_object();
  }
  writer.end_array();
  writer.key("absent_modules"), writer.begin_array();
  for (const std::string& name : outcome.absent) writer.text(name);
  writer.end_array();
  writer.end_object();
  return out + "\n";
}

std::string extensions_text(const build::Outcome& outcome) {
  std::string out;
  for (const upgrade::Extension& one : outcome.extensions)
    out += std::format("  extension {} {} {:.2f} MiB\n", one.name, hex(one.digest), static_cast<double>(one.size) / (1 << 20));
  return out;
}

std::string as_text(const build::Outcome& outcome) {
  std::string out = std::format("{}\n  sha256 {}\n  {:.2f} MiB, {}, kernel {}, {} modules\n", outcome.image,
                                outcome.digest, static_cast<double>(outcome.size) / (1 << 20),
                                outcome.is_signed ? "signed" : "NOT signed", outcome.kernel, outcome.module_count);
  for (const build::Share& share : outcome.shares)
    out += std::format("  {:>8.2f} MiB  {}\n", static_cast<double>(share.bytes) / (1 << 20), share.name);
  out += extensions_text(outcome);
  for (size_t i = 1; i < outcome.files.size(); ++i) out += outcome.files[i] + "\n";
  return out;
}

// The lock as it can be had now, and what changed, loudly.
Result<spec::Lock> resolve_again(const spec::Spec& spec, const spec::Lock& old, build::Store& store,
                                 const build::Report& report, const Error& why) {
  report.warning(why.message());
  report.warning(
      "the locked package versions cannot all be had any more; resolving the spec anew. This image is not the pinned "
      "one.");
  STEPPE_TRY(spec::Lock fresh, store.resolve(spec));
  for (const spec::LockedPackage& one : fresh.packages) {
    if (!std::ranges::contains(old.packages, one))
      report.warning(std::format("now {} {} ({})", one.name, one.version, one.digest));
  }
  return fresh;
}

Result<> write_lock_file(const std::string& path, const spec::Lock& lock) {
  const size_t slash = path.rfind('/');
  STEPPE_TRY(const kernel::Beneath directory, build::open_directory(path.substr(0, slash + 1)));
  return directory.write(path.substr(slash + 1), as_bytes(spec::write_lock(lock)), 0644);
}

}  // namespace

Result<int> build_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {"netboot", "iso", "qcow2", "compress", "only-extensions", "json"},
                                               {"o", "var", "disk", "store"}));
  if (words.has("qcow2") && !words.value("disk"))
    return Error(Code::kInvalid, "-qcow2 is the disk image in another form: it needs -disk SIZE");
  if (words.has("compress") && !words.has("qcow2"))
    return Error(Code::kInvalid, "-compress is about the qcow2 alone: it needs -qcow2");
  STEPPE_TRY(const Start begin, start(context, words));
  const build::Report report = make_report(context);
  STEPPE_TRY(const auto bench, build::Workbench::create());
  build::Store store(begin.store, begin.spec.image.architecture, begin.spec.components, *bench, report);
  build::Options options{.directory = build::absolute_path(words.value("o").value_or("."), context.working_directory),
                         .disk_size = {},
                         .qcow2 = words.has("qcow2"),
                         .compress = words.has("compress") ? build::Compress::kYes : build::Compress::kNo,
                         .iso = words.has("iso"),
                         .netboot = words.has("netboot")};
  if (const auto size = words.value("disk")) {
    STEPPE_TRY(options.disk_size, parse_byte_size(*size));
  }
  spec::Lock lock;
  if (!spec::wanted_packages(begin.spec).empty()) {
    const std::string path = spec::lock_path(begin.spec.file);
    auto text = io::read_path(path, kMaxSpec);
    if (!text.ok() && text.error().code() == Code::kNotFound)
      return Error(Code::kNotFound,
                   std::format("{}: no such file: run steppe-image lock {} first", path, begin.spec.file));
    if (!text.ok()) return std::move(text).error();
    STEPPE_TRY(lock, spec::parse_lock(*text, path));
    STEPPE_TRY_VOID(spec::check_lock(begin.spec, lock, path));
    if (const auto fetched = store.fetch(lock); !fetched.ok()) {
      if (fetched.error().code() != Code::kNotFound) return fetched.error();
      STEPPE_TRY(lock, resolve_again(begin.spec, lock, store, report, fetched.error()));
      STEPPE_TRY_VOID(write_lock_file(options.directory + "/resolved.lock", lock));
    }
  }
  if (words.has("only-extensions")) {
    STEPPE_TRY(const build::Outcome outcome, build::build_extensions(begin.spec, lock, options, store, *bench, report));
    if (context.terminal) context.error("\r\x1b[K");
    context.out(extensions_text(outcome));
    for (const std::string& file : outcome.files) context.out(file + "\n");
    return 0;
  }
  STEPPE_TRY(const build::Outcome outcome, build::build_image(begin.spec, lock, options, store, *bench, report));
  if (context.terminal) context.error("\r\x1b[K");
  for (const std::string& name : outcome.absent)
    context.error(std::format("note: this kernel has no module {}\n", name));
  context.out(words.has("json") ? as_json(outcome) : as_text(outcome));
  return 0;
}

Result<int> lock_command(Context& context, const std::vector<std::string>& arguments) {
  STEPPE_TRY(const Words words, Words::parse(arguments, {}, {"var", "store"}));
  STEPPE_TRY(const Start begin, start(context, words));
  const build::Report report = make_report(context);
  STEPPE_TRY(const auto bench, build::Workbench::create());
  build::Store store(begin.store, begin.spec.image.architecture, begin.spec.components, *bench, report);
  STEPPE_TRY(const spec::Lock lock, store.resolve(begin.spec));
  const std::string path = spec::lock_path(begin.spec.file);
  STEPPE_TRY_VOID(write_lock_file(path, lock));
  if (context.terminal) context.error("\r\x1b[K");
  context.out(std::format("{}: {} packages\n", path, lock.packages.size()));
  return 0;
}

}  // namespace steppe::cli
