#include <fcntl.h>

#include <algorithm>
#include <format>

#include "agent/cli/commands.h"
#include "agent/schema/codec.h"
#include "agent/schema/machine.pb.h"
#include "init/base/text.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/file_access.h"
#include "init/sys/kernel/host_file.h"
#include "init/upgrade/sha256.h"

namespace steppe::cli {

namespace {

constexpr size_t kPiece = 1 << 20;  // of an image, a request

std::string yes_no(bool value) { return value ? "yes" : "no"; }
std::string seconds_text(int64_t seconds) { return format_duration(std::chrono::seconds(seconds)); }

// Asks /v1/machine/<what>. False: it failed, or was printed as JSON, and `code` is what the command ends with.
io::Task<bool> ask(Context& context, const Flags& flags, std::string what, google::protobuf::Message& reply, int& code) {
  if (!flags.words().empty()) {
    code = usage(context, "This command takes no arguments");
    co_return false;
  }
  http::Query query;
  if (flags.given("n")) {
    Result<int64_t> lines = flags.count("n", 0);
    if (!lines.ok()) {
      code = usage(context, lines.error().message());
      co_return false;
    }
    query.add("lines", std::to_string(*lines));
  }
  Result<> got = co_await context.get_into("/v1/machine/" + what, std::move(query), &reply);
  if (!got.ok()) code = fail(context, "querying the machine", got.error());
  else if (flags.on("json")) code = print_json(context, reply);
  else co_return true;
  co_return false;
}

// A change; what came of it is printed.
io::Task<int> change(Context& context, std::string verb, const google::protobuf::Message& request, std::string_view doing) {
  schema::MachineSlotsChangeReply reply;
  Result<> put = co_await context.put_into("/v1/machine/" + verb, {}, request, &reply);
  if (!put.ok()) co_return fail(context, doing, put.error());
  context.ui().line(reply.summary());
  if (!reply.reboot().empty()) context.ui().line(std::format("It takes effect at the next start: {} machine reboot", context.program()));
  co_return 0;
}

io::Task<int> end_machine(Context& context, const Flags& flags, std::string verb) {
  if (!flags.words().empty()) co_return usage(context, "This command takes no arguments");
  schema::MachineEndRequest request;
  request.set_reason(flags.text("reason"));
  schema::MachineEndReply reply;
  Result<> put = co_await context.put_into("/v1/machine/" + verb, {}, request, &reply);
  if (!put.ok()) co_return fail(context, "taking the machine down", put.error());
  context.ui().line(reply.summary());
  co_return 0;
}

Result<std::string> digest_of(const kernel::Fd& file, uint64_t size) {
  upgrade::Sha256 hash;
  std::string piece(kPiece, '\0');
  for (uint64_t at = 0; at < size;) {
    STEPPE_TRY(const size_t got, kernel::read_at(file, at, std::as_writable_bytes(std::span(piece))));
    if (got == 0) return Error(Code::kInvalid, "the file became shorter while it was read");
    hash.add(as_bytes(std::string_view(piece).substr(0, got)));
    at += got;
  }
  STEPPE_TRY(const upgrade::Digest digest, hash.finish());
  return hex(digest);
}

io::Task<Result<>> upload(Context& context, const kernel::Fd& file, uint64_t size, std::string digest) {
  std::string piece;
  uint64_t at = 0;
  // The first answer says how much of it is there already. Each piece must bring it forward.
  for (bool asked = false; !asked || at < size; asked = true) {
    if (asked) {
      piece.resize(std::min<uint64_t>(kPiece, size - at));
      STEPPE_CO_TRY(const size_t got, kernel::read_at(file, at, std::as_writable_bytes(std::span(piece))));
      if (got == 0) co_return Error(Code::kInvalid, "the file became shorter while it was read");
      piece.resize(got);
    }
    http::Query query;
    query.add("offset", std::to_string(at));
    query.add("size", std::to_string(size));
    STEPPE_CO_TRY(const http::Response response, co_await context.request("PUT", "/v1/machine/upload/" + digest, std::move(query), piece));
    schema::MachineUploadReply reply;
    STEPPE_CO_TRY_VOID(schema::read_json(response.body, &reply).wrap("answer of the agent"));
    if (reply.offset() > size || (asked && reply.offset() <= at)) co_return Error(Code::kUnavailable, "another upload to this machine is under way");
    at = reply.offset();
  }
  co_return Result<>();
}

std::string slot_note(const schema::MachineSlot& slot) {
  std::string note = slot.note();
  if (slot.next()) note = note.empty() ? "next start" : "next start; " + note;
  if (slot.running()) note = note.empty() ? "running" : "running, " + note;
  return note;
}

}  // namespace

io::Task<int> machine_info(Context& context, const Flags& flags) {
  schema::MachineInfoReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "info", reply, code)) co_return code;
  std::vector<Row> rows{{"Name", reply.name()}, {"Image", reply.version().empty() ? "unknown (started with an initrd of its own)" : std::format("{} ({})", reply.version(), reply.arch())}};
  rows.push_back({"Security Version", std::to_string(reply.security_version())});
  rows.push_back({"Build", std::format("{} of {}", reply.build_id().substr(0, 16), date(reply.built_unix_s() * 1'000'000'000))});
  rows.push_back({"Trial", reply.trial() ? std::format("yes: reboots in {} unless it is blessed", seconds_text(reply.trial_left_s())) : "no"});
  rows.push_back({"Kernel", reply.kernel()});
  rows.push_back({"Up", seconds_text(reply.uptime_s())});
  rows.push_back({"Processors", std::to_string(reply.processors())});
  rows.push_back({"Memory", std::format("{} of {} available", size_text(reply.memory_available()), size_text(reply.memory_total()))});
  if (!reply.last_end().empty()) rows.push_back({"Last End", reply.last_end()});
  context.ui().line(key_values(rows));
  co_return 0;
}

io::Task<int> machine_dmesg(Context& context, const Flags& flags) {
  schema::MachineDmesgReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "dmesg", reply, code)) co_return code;
  for (const schema::MachineLogLine& line : reply.lines())
    context.ui().line(std::format("[{:5}.{:06}] {}", line.since_boot_us() / 1'000'000, line.since_boot_us() % 1'000'000, printable(line.text())));
  co_return 0;
}

io::Task<int> machine_logs(Context& context, const Flags& flags) {
  schema::MachineLogsReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "logs", reply, code)) co_return code;
  for (const std::string& line : reply.lines()) context.ui().line(printable(line));
  co_return 0;
}

io::Task<int> machine_services(Context& context, const Flags& flags) {
  schema::MachineServicesReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "services", reply, code)) co_return code;
  std::vector<Row> rows{{"Service", "State", "PID", "Crashes", "Last End", "Status"}};
  for (const schema::MachineService& service : reply.services())
    rows.push_back({service.name(), service.state(), service.pid() == 0 ? "" : std::to_string(service.pid()), std::to_string(service.crashes()), service.last_end(), service.status()});
  context.ui().line(table(rows));
  co_return 0;
}

io::Task<int> machine_disks(Context& context, const Flags& flags) {
  schema::MachineDisksReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "disks", reply, code)) co_return code;
  std::vector<Row> rows{{"Name", "Size", "Label", "Mounted On", "Model", "Serial", "Removable"}};
  for (const schema::MachineDisk& disk : reply.disks()) {
    rows.push_back({disk.name(), size_text(disk.size()), "", "", disk.model(), disk.serial(), yes_no(disk.removable())});
    for (const schema::MachinePartition& part : disk.partitions()) rows.push_back({"  " + part.name(), size_text(part.size()), part.label(), part.mounted_on(), "", "", ""});
  }
  context.ui().line(rows.size() == 1 ? "No disks" : table(rows));
  co_return 0;
}

io::Task<int> machine_mounts(Context& context, const Flags& flags) {
  schema::MachineMountsReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "mounts", reply, code)) co_return code;
  std::vector<Row> rows{{"Target", "Source", "Type", "Size", "Available", "Options"}};
  for (const schema::MachineMount& mount : reply.mounts())
    rows.push_back({mount.target(), mount.source(), mount.type(), mount.size() == 0 ? "" : size_text(mount.size()), mount.size() == 0 ? "" : size_text(mount.available()), mount.options()});
  context.ui().line(table(rows));
  co_return 0;
}

io::Task<int> machine_processes(Context& context, const Flags& flags) {
  schema::MachineProcessesReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "processes", reply, code)) co_return code;
  std::vector<Row> rows{{"PID", "Parent", "User", "State", "Memory", "CPU", "Threads", "Cgroup", "Name"}};
  for (const schema::MachineProcess& process : reply.processes())
    rows.push_back({std::to_string(process.pid()), std::to_string(process.parent()), std::to_string(process.user()), process.state(), size_text(process.memory()),
                    format_duration(std::chrono::milliseconds(process.cpu_ms())), std::to_string(process.threads()), process.cgroup(), process.name()});
  context.ui().line(table(rows));
  if (reply.truncated()) context.ui().warn("There are more processes than are shown.");
  co_return 0;
}

io::Task<int> machine_time(Context& context, const Flags& flags) {
  schema::MachineTimeReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "time", reply, code)) co_return code;
  std::vector<Row> rows{{"Now", date(reply.now())}, {"Up", seconds_text(reply.uptime_s())}, {"Synchronized", yes_no(reply.synchronized())}};
  rows.push_back({"Estimated Error", format_duration(std::chrono::microseconds(reply.estimated_error_us()))});
  rows.push_back({"Frequency", std::format("{:+.3f} ppm", reply.frequency_ppm())});
  if (reply.older_than_image()) rows.push_back({"Problem", "the clock is before the image's build"});
  context.ui().line(key_values(rows));
  co_return 0;
}

io::Task<int> machine_slots(Context& context, const Flags& flags) {
  schema::MachineSlotsReply reply;
  int code = 0;
  if (!co_await ask(context, flags, "slots", reply, code)) co_return code;
  std::vector<Row> rows{{"Version", "State", "Tries Left", "Size", "Digest", "File", "Note"}};
  for (const schema::MachineSlot& slot : reply.slots())
    rows.push_back({slot.version(), slot.state(), std::to_string(slot.tries_left()), size_text(slot.size()), slot.digest().substr(0, 16), slot.file(), slot_note(slot)});
  context.ui().line(rows.size() == 1 ? "No slots" : table(rows));
  context.ui().line();
  context.ui().line(key_values({{"Trial", yes_no(reply.trial())}, {"Security Floor", std::to_string(reply.security_floor())}, {"Refused", std::to_string(reply.refused_size())}, {"Free", size_text(reply.free_bytes())}}));
  co_return 0;
}

io::Task<int> machine_reboot(Context& context, const Flags& flags) { return end_machine(context, flags, "reboot"); }
io::Task<int> machine_poweroff(Context& context, const Flags& flags) { return end_machine(context, flags, "poweroff"); }

io::Task<int> machine_stage(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <path>");
  const std::string path = flags.words()[0];
  Result<kernel::Fd> file = kernel::open_host(path, O_RDONLY);
  if (!file.ok()) co_return fail(context, "reading the image", file.error());
  Result<kernel::FileInfo> info = kernel::stat_fd(*file, path);
  if (info.ok() && info->type != kernel::FileType::kFile) info = Error(Code::kInvalid, path + " is no regular file");
  if (!info.ok()) co_return fail(context, "reading the image", info.error());
  Result<std::string> digest = digest_of(*file, info->size.count);
  if (!digest.ok()) co_return fail(context, "reading the image", digest.error());
  Result<> sent = co_await upload(context, *file, info->size.count, *digest);
  if (!sent.ok()) co_return fail(context, "uploading the image", sent.error());
  schema::MachineSlotsChangeRequest request;
  request.set_digest(*digest);
  request.set_downgrade(flags.on("downgrade"));
  co_return co_await change(context, "stage", request, "staging the image");
}

io::Task<int> machine_try(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <version>");
  schema::MachineSlotsChangeRequest request;
  request.set_version(flags.words()[0]);
  request.set_downgrade(flags.on("downgrade"));
  co_return co_await change(context, "try", request, "trying the version");
}

io::Task<int> machine_bless(Context& context, const Flags& flags) {
  if (!flags.words().empty()) co_return usage(context, "This command takes no arguments");
  co_return co_await change(context, "bless", schema::MachineSlotsChangeRequest(), "blessing the image");
}

io::Task<int> machine_revert(Context& context, const Flags& flags) {
  if (!flags.words().empty()) co_return usage(context, "This command takes no arguments");
  co_return co_await change(context, "revert", schema::MachineSlotsChangeRequest(), "going back");
}

io::Task<int> machine_forgive(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <digest>");
  schema::MachineSlotsChangeRequest request;
  request.set_digest(flags.words()[0]);
  co_return co_await change(context, "forgive", request, "forgiving the image");
}

}  // namespace steppe::cli
