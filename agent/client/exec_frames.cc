#include "agent/client/exec_frames.h"

#include <algorithm>

#include "init/base/bytes.h"
#include "init/json/reader.h"
#include "init/json/writer.h"

namespace steppe::client {
namespace {

using json::Kind;

Result<> read_stdin(json::Reader& reader, ExecInput& out) {
  if (reader.next() != Kind::kObject) return reader.error_here("stdin: expected an object");
  while (reader.next() == Kind::kKey) {
    std::string key(reader.text());
    Kind kind = reader.next();
    if (key == "data" && kind == Kind::kString) {
      STEPPE_TRY(out.stdin_data, unbase64(reader.text()).wrap("stdin.data"));
    } else if (key == "close") {
      out.stdin_close = kind == Kind::kTrue;
    } else {
      reader.skip();
    }
  }
  return {};
}

Result<> read_size(json::Reader& reader, ExecInput& out) {
  if (reader.next() != Kind::kObject) return reader.error_here("tty_size: expected an object");
  ExecInput::Size size;
  while (reader.next() == Kind::kKey) {
    std::string key(reader.text());
    Kind kind = reader.next();
    int64_t value = kind == Kind::kNumber ? reader.integer().value_or(0) : 0;
    uint16_t clamped = static_cast<uint16_t>(std::clamp<int64_t>(value, 0, 10000));
    if (key == "height") size.rows = clamped;
    else if (key == "width") size.columns = clamped;
    else if (kind == Kind::kObject || kind == Kind::kArray) reader.skip();
  }
  out.tty_size = size;
  return {};
}

}  // namespace

Result<ExecInput> parse_exec_input(std::string_view text) {
  json::Reader reader(text, {.max_bytes = size_t{4} << 20, .max_depth = 8});
  ExecInput out;
  if (reader.next() != Kind::kObject) return reader.failed() ? Error(reader.error()) : reader.error_here("expected an object");
  while (reader.next() == Kind::kKey) {
    std::string key(reader.text());
    if (key == "stdin") {
      STEPPE_TRY_VOID(read_stdin(reader, out));
    } else if (key == "tty_size") {
      STEPPE_TRY_VOID(read_size(reader, out));
    } else {
      reader.next();
      reader.skip();
    }
  }
  if (reader.failed()) return reader.error();
  return out;
}

std::string exec_output(ExecStream stream, std::string_view data) {
  std::string out;
  json::Writer writer(&out);
  writer.begin_object();
  writer.key(stream == ExecStream::kStdout ? "stdout" : "stderr");
  writer.begin_object();
  writer.key("data");
  writer.plain_text(base64(as_bytes(data)));
  writer.end_object();
  writer.end_object();
  return out;
}

std::string exec_closed(ExecStream stream) {
  return stream == ExecStream::kStdout ? R"({"stdout":{"close":true}})" : R"({"stderr":{"close":true}})";
}

std::string exec_exited(int exit_code) {
  std::string out;
  json::Writer writer(&out);
  writer.begin_object();
  writer.key("exited");
  writer.boolean(true);
  writer.key("result");
  writer.begin_object();
  if (exit_code != 0) {
    writer.key("exit_code");
    writer.integer(exit_code);
  }
  writer.end_object();
  writer.end_object();
  return out;
}

}  // namespace steppe::client
