#include <unistd.h>

#include <algorithm>
#include <format>

#include "agent/cli/commands.h"
#include "agent/cli/terminal.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/rpc.pb.h"
#include "init/base/bytes.h"
#include "init/io/scope.h"
#include "init/json/reader.h"
#include "init/json/writer.h"

namespace steppe::cli {

namespace {

std::string json_array(const std::vector<std::string>& words, size_t from) {
  std::string text;
  json::Writer writer(&text);
  writer.begin_array();
  for (size_t i = from; i < words.size(); ++i) writer.text(words[i]);
  writer.end_array();
  return text;
}

// One frame of the exec protocol as the server sends it.
struct ExecFrame {
  std::string out;
  std::string err;
  bool exited = false;
  int64_t exit_code = 0;
};

// {"stdout":{"data":b64}} and its like: the object behind `key`.
void read_channel(json::Reader& reader, std::string* into) {
  if (reader.next() != json::Kind::kObject) return;
  while (reader.next() == json::Kind::kKey) {
    const bool data = reader.text() == "data";
    if (reader.next() == json::Kind::kString && data) *into = unbase64(reader.text()).value_or("");
  }
}

Result<ExecFrame> parse_frame(std::string_view text) {
  ExecFrame frame;
  json::Reader reader(text);
  if (reader.next() != json::Kind::kObject) return reader.error_here("expected an object");
  while (reader.next() == json::Kind::kKey) {
    const std::string key(reader.text());
    if (key == "stdout") {
      read_channel(reader, &frame.out);
    } else if (key == "stderr") {
      read_channel(reader, &frame.err);
    } else if (key == "exited") {
      frame.exited = reader.next() == json::Kind::kTrue;
    } else if (key == "result") {
      if (reader.next() != json::Kind::kObject) continue;
      while (reader.next() == json::Kind::kKey) {
        const bool code = reader.text() == "exit_code";
        if (reader.next() == json::Kind::kNumber && code) frame.exit_code = reader.integer().value_or(0);
      }
    } else {
      reader.next();
      reader.skip();
    }
  }
  if (reader.failed()) return reader.error();
  return frame;
}

std::string resize_frame(TerminalSize size) { return std::format("{{\"tty_size\":{{\"height\":{},\"width\":{}}}}}", size.height, size.width); }

io::Task<void> send_input(Context& context, http::WebSocket& socket, std::stop_token stop) {
  std::string buffer(4096, '\0');
  const io::Deadline deadline{.stop = std::move(stop)};
  while (true) {
    Result<size_t> count = co_await read_input(context.loop(), STDIN_FILENO, std::as_writable_bytes(std::span(buffer)), deadline);
    if (!count.ok()) co_return;
    std::string frame = "{\"stdin\":{\"close\":true}}";
    if (*count > 0) frame = std::format("{{\"stdin\":{{\"data\":\"{}\"}}}}", base64(as_bytes(std::string_view(buffer).substr(0, *count))));
    if (!(co_await socket.send_text(std::move(frame), deadline)).ok() || *count == 0) co_return;
  }
}

// Keeps the connection alive and tells when the window changed.
io::Task<void> send_heartbeats(Context& context, http::WebSocket& socket, bool tty, std::stop_token stop) {
  std::optional<TerminalSize> last;
  int beats = 0;
  while (!stop.stop_requested()) {
    const std::optional<TerminalSize> size = tty ? terminal_size(STDIN_FILENO) : std::nullopt;
    const bool changed = size && (!last || last->height != size->height || last->width != size->width);
    const io::Deadline deadline{.stop = stop};
    if (changed) {
      last = size;
      if (!(co_await socket.send_text(resize_frame(*size), deadline)).ok()) co_return;
    } else if (beats % 20 == 19 && !(co_await socket.send_text("{}", deadline)).ok()) {
      co_return;
    }
    ++beats;
    if (!(co_await io::sleep_for(context.loop(), std::chrono::milliseconds(500), stop)).ok()) co_return;
  }
}

io::Task<int> converse(Context& context, http::WebSocket& socket, bool interactive, bool tty) {
  io::Scope scope(context.loop());
  if (interactive) scope.spawn(send_input(context, socket, scope.token()));
  scope.spawn(send_heartbeats(context, socket, tty, scope.token()));
  int code = 1;
  while (true) {
    Result<http::WebSocket::Message> message = co_await socket.receive({});
    if (!message.ok()) {
      fail(context, "talking to the task", message.error());
      break;
    }
    if (message->closed) {
      if (message->code != 1000) context.ui().error(std::format("failed to exec into task: {}", message->text));
      break;
    }
    Result<ExecFrame> frame = parse_frame(message->text);
    if (!frame.ok()) continue;
    context.ui().raw(frame->out);
    context.ui().raw_error(frame->err);
    if (frame->exited) {
      code = static_cast<int>(frame->exit_code);
      break;
    }
  }
  scope.request_stop();
  co_await scope.join();
  co_return code;
}

}  // namespace

io::Task<int> alloc_exec(Context& context, const Flags& flags) {
  if (flags.words().size() < 2) co_return usage(context, "This command takes at least two arguments: <alloc-id> <command>");
  Result<std::string> id = Error(Code::kInvalid, "");
  if (flags.on("job")) {
    Result<JobName> name = co_await find_job(context, flags.words()[0]);
    if (!name.ok()) co_return usage(context, name.error().message());
    schema::JobAllocationsReply reply;
    Result<> got = co_await context.get_into(std::format("/v1/job/{}/allocations", http::percent_encode(name->id)), {}, &reply, "Allocations");
    if (!got.ok()) co_return fail(context, "querying allocations", got.error());
    for (const schema::AllocListStub& stub : reply.allocations()) {
      if (stub.client_status() == "running") id = stub.id();
    }
    if (!id.ok()) co_return usage(context, std::format("No running allocation of job \"{}\" found", name->id));
  } else {
    id = co_await find_alloc(context, flags.words()[0]);
    if (!id.ok()) co_return usage(context, id.error().message());
  }
  schema::Allocation alloc;
  Result<> got = co_await context.get_into("/v1/allocation/" + *id, {}, &alloc);
  if (!got.ok()) co_return fail(context, "querying allocation", got.error());
  std::string task = flags.text("task");
  if (task.empty()) {
    if (alloc.task_states_size() != 1) co_return usage(context, "A task name is required (-task): the allocation has several tasks");
    task = alloc.task_states().begin()->first;
  }
  const bool interactive = !flags.given("i") || flags.on("i");
  const bool tty = flags.given("t") ? flags.on("t") : interactive && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  http::Query query;
  query.add("task", task);
  query.add("tty", tty ? "true" : "false");
  query.add("command", json_array(flags.words(), 1));
  Result<std::unique_ptr<http::WebSocket>> socket = co_await context.websocket(std::format("/v1/client/allocation/{}/exec", *id), std::move(query));
  if (!socket.ok()) co_return fail(context, "starting the command", socket.error());
  std::optional<RawMode> raw;
  if (tty) {
    Result<RawMode> entered = RawMode::enter(STDIN_FILENO);
    if (!entered.ok()) co_return fail(context, "switching the terminal to raw mode", entered.error());
    raw.emplace(std::move(*entered));
  }
  co_return co_await converse(context, **socket, interactive, tty);
}

}  // namespace steppe::cli
