#include <algorithm>
#include <format>
#include <map>

#include "agent/cli/commands.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/codec.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/rpc.pb.h"
#include "agent/schema/stats.pb.h"
#include "init/base/text.h"
#include "init/io/scope.h"
#include "init/io/wait.h"

namespace steppe::cli {

namespace {

// With -job, any alloc of the job will do: a running one first.
io::Task<Result<std::string>> alloc_of(Context& context, const Flags& flags) {
  if (!flags.on("job")) co_return co_await find_alloc(context, flags.words()[0]);
  STEPPE_CO_TRY(JobName name, co_await find_job(context, flags.words()[0]));
  http::Query query;
  query.add("namespace", name.space);
  schema::JobAllocationsReply reply;
  STEPPE_CO_TRY_VOID(co_await context.get_into(std::format("/v1/job/{}/allocations", http::percent_encode(name.id)), std::move(query), &reply, "Allocations"));
  const schema::AllocListStub* best = nullptr;
  for (const schema::AllocListStub& stub : reply.allocations()) {
    if (flags.given("group") && stub.task_group() != flags.text("group")) continue;
    const bool better = best == nullptr || (stub.client_status() == "running" && best->client_status() != "running") ||
                        (stub.client_status() == best->client_status() && stub.create_index() > best->create_index());
    if (better) best = &stub;
  }
  if (best == nullptr) co_return Error(Code::kNotFound, std::format("No allocations for job \"{}\" found", name.id));
  co_return best->id();
}

// The task that the user means: named, or the only one.
io::Task<Result<std::string>> task_of(Context& context, const std::string& alloc_id, std::string named) {
  schema::Allocation alloc;
  STEPPE_CO_TRY_VOID(co_await context.get_into("/v1/allocation/" + alloc_id, {}, &alloc));
  std::vector<std::string> tasks;
  for (const auto& [task, resources] : alloc.allocated_resources().tasks()) tasks.push_back(task);
  std::ranges::sort(tasks);
  if (!named.empty()) {
    if (std::ranges::find(tasks, named) == tasks.end()) {
      co_return Error(Code::kNotFound, std::format("Could not find task named: {}, found:\n  * {}", named, join(tasks, "\n  * ")));
    }
    co_return named;
  }
  if (tasks.size() != 1) {
    co_return Error(Code::kInvalid, std::format("Allocation \"{}\" is running the following tasks:\n  * {}\n\nPlease specify the task.", short_id(alloc_id, false), join(tasks, "\n  * ")));
  }
  co_return tasks[0];
}

struct Printer {
  static io::Task<Result<>> out(Ui& ui, std::string_view piece) {
    ui.raw(piece);
    co_return Result<>();
  }
  static io::Task<Result<>> err(Ui& ui, std::string_view piece) {
    ui.raw_error(piece);
    co_return Result<>();
  }
};

http::BodySink printer(Ui& ui, bool to_stderr) {
  if (to_stderr) return [&ui](std::string_view piece) { return Printer::err(ui, piece); };
  return [&ui](std::string_view piece) { return Printer::out(ui, piece); };
}

constexpr int64_t kBytesPerLine = 120;  // how far -n looks back for a line
constexpr int64_t kTailLines = 10;

// The last lines of what is there: read back by a guess of their size, cut at the newline.
std::string last_lines(const std::string& text, int64_t lines) {
  size_t at = text.size();
  if (at > 0 && text[at - 1] == '\n') --at;
  while (lines-- > 0) {
    if (at == 0) return text;
    const size_t newline = text.rfind('\n', at - 1);
    if (newline == std::string::npos) return text;
    at = newline;
  }
  return text.substr(at + 1);
}

// How much of the end is wanted, by -tail, -n and -c; without them all of it.
struct Tail {
  bool wanted = false;
  bool by_bytes = false;
  int64_t lines = kTailLines;
  int64_t bytes = 0;
};

Result<Tail> tail_of(const Flags& flags) {
  Tail tail{.wanted = flags.on("tail") || flags.given("n") || flags.given("c"), .by_bytes = flags.given("c")};
  STEPPE_TRY(tail.lines, flags.count("n", kTailLines));
  STEPPE_TRY(tail.bytes, flags.count("c", tail.lines * kBytesPerLine));
  return tail;
}

struct LogRequest {
  std::string path;
  std::string task;
  std::string type;
  Tail tail;
};

http::Query log_query(const LogRequest& request, bool follow, std::string origin, int64_t offset) {
  http::Query query;
  query.add("task", request.task);
  query.add("type", request.type);
  query.add("plain", "true");
  query.add("follow", follow ? "true" : "false");
  query.add("origin", std::move(origin));
  query.add("offset", std::to_string(offset));
  return query;
}

struct Collector {
  static io::Task<Result<>> add(std::string& all, std::string_view piece) {
    all.append(piece);
    co_return Result<>();
  }
};

io::Task<Result<>> print_log(Context& context, const Flags& flags, LogRequest request) {
  const io::Deadline forever;
  const Tail tail = request.tail;
  const bool follow = flags.on("f");
  const bool to_stderr = request.type == "stderr" && !flags.on("stderr");
  int64_t offset = 0;
  if (tail.wanted) {
    std::string end;
    http::BodySink collect = [&end](std::string_view piece) { return Collector::add(end, piece); };
    STEPPE_CO_TRY_VOID(co_await context.stream(request.path, log_query(request, false, "end", tail.bytes), std::move(collect), forever));
    const std::string shown = tail.by_bytes ? end : last_lines(end, tail.lines);
    to_stderr ? context.ui().raw_error(shown) : context.ui().raw(shown);
    if (!follow) co_return Result<>();
  }
  http::Query query = log_query(request, follow, tail.wanted ? "end" : "start", offset);
  co_return co_await context.stream(request.path, std::move(query), printer(context.ui(), to_stderr), forever);
}

io::Task<void> print_log_into(Context& context, const Flags& flags, LogRequest request, Result<>& result) {
  result = co_await print_log(context, flags, std::move(request));
}

}  // namespace

io::Task<int> alloc_logs(Context& context, const Flags& flags) {
  if (flags.words().empty() || flags.words().size() > 2) co_return usage(context, "This command takes one or two arguments: <alloc-id> <task>\n(or, with -job: <job>)");
  const Result<Tail> tail = tail_of(flags);
  if (!tail.ok()) co_return usage(context, tail.error().message());
  Result<std::string> id = co_await alloc_of(context, flags);
  if (!id.ok()) co_return usage(context, id.error().message());
  Result<std::string> task = co_await task_of(context, *id, flags.words().size() == 2 ? flags.words()[1] : flags.text("task"));
  if (!task.ok()) co_return usage(context, task.error().message());
  const std::string path = "/v1/client/fs/logs/" + *id;
  std::vector<std::string> types;
  if (flags.on("stderr") || !flags.on("stdout")) types.push_back("stderr");
  if (flags.on("stdout") || !flags.on("stderr")) types.insert(types.begin(), "stdout");
  // Without a choice stdout is shown, as scripts expect; following both at once is asked for with both flags.
  if (!flags.on("stderr") && !flags.on("stdout")) types = {"stdout"};
  std::vector<Result<>> results(types.size());
  io::Scope scope(context.loop());
  for (size_t i = 0; i < types.size(); ++i) scope.spawn(print_log_into(context, flags, {path, *task, types[i], *tail}, results[i]));
  co_await scope.join();
  for (const Result<>& result : results) {
    if (!result.ok()) co_return fail(context, "reading file", result.error());
  }
  co_return 0;
}

namespace {

io::Task<int> show_directory(Context& context, const Flags& flags, std::string id, std::string path) {
  http::Query query;
  query.add("path", path);
  schema::FsListReply reply;
  Result<> got = co_await context.get_into("/v1/client/fs/ls/" + id, std::move(query), &reply, "Files");
  if (!got.ok()) co_return fail(context, "listing alloc dir", got.error());
  std::vector<Row> rows{{"Mode", "Size", "Modified Time", "Name"}};
  for (const schema::AllocFileInfo& file : reply.files()) {
    const std::string size = flags.on("H") ? std::to_string(file.size()) : size_text(static_cast<uint64_t>(file.size()));
    rows.push_back({file.file_mode(), size, date(file.mod_time()), file.name() + (file.is_dir() ? "/" : "")});
  }
  context.ui().line(table(rows));
  co_return 0;
}

}  // namespace

io::Task<int> alloc_fs(Context& context, const Flags& flags) {
  if (flags.words().empty() || flags.words().size() > 2) co_return usage(context, "This command takes one or two arguments: <allocation> [path]");
  const Result<Tail> tail = tail_of(flags);
  if (!tail.ok()) co_return usage(context, tail.error().message());
  Result<std::string> id = co_await alloc_of(context, flags);
  if (!id.ok()) co_return usage(context, id.error().message());
  const std::string path = flags.words().size() == 2 ? flags.words()[1] : "/";
  http::Query query;
  query.add("path", path);
  schema::AllocFileInfo info;
  Result<> got = co_await context.get_into("/v1/client/fs/stat/" + *id, query, &info);
  if (!got.ok()) co_return fail(context, "stating file", got.error());
  if (flags.on("stat")) {
    const std::string size = flags.on("H") ? std::to_string(info.size()) : size_text(static_cast<uint64_t>(info.size()));
    context.ui().line(table({{"Mode", "Size", "Modified Time", "Content Type", "Name"}, {info.file_mode(), size, date(info.mod_time()), info.content_type(), info.name()}}));
    co_return 0;
  }
  if (info.is_dir()) co_return co_await show_directory(context, flags, *id, path);
  const io::Deadline forever;
  std::string endpoint = "/v1/client/fs/cat/" + *id;
  if (tail->wanted) {
    endpoint = "/v1/client/fs/readat/" + *id;
    query.add("offset", std::to_string(std::max<int64_t>(0, info.size() - tail->bytes)));
    query.add("limit", std::to_string(tail->bytes));
  }
  const bool whole_lines = tail->wanted && !tail->by_bytes;
  std::string end;
  http::BodySink collect = [&end](std::string_view piece) { return Collector::add(end, piece); };
  got = co_await context.stream(std::move(endpoint), std::move(query), whole_lines ? std::move(collect) : printer(context.ui(), false), forever);
  if (!got.ok()) co_return fail(context, "reading file", got.error());
  if (whole_lines) context.ui().raw(last_lines(end, tail->lines));
  co_return 0;
}

}  // namespace steppe::cli
