#include <array>

#include "agent/client/client_api.h"
#include "agent/client/exec_frames.h"
#include "agent/schema/rpc.pb.h"
#include "init/io/scope.h"
#include "init/sys/kernel/descriptor_io.h"

namespace steppe::client {
namespace {

using endpoint::Outcome;

std::unique_ptr<schema::StreamReply> piece_of(std::string text) {
  auto out = std::make_unique<schema::StreamReply>();
  out->set_payload(std::move(text));
  return out;
}

// What the three pumps of one session share.
struct Relay {
  io::Loop& loop;
  drivers::ExecSession& session;
  endpoint::Stream& stream;
  bool tty;
  std::stop_source stop;
  io::Event sending;  // one writer at a time on the stream
  bool busy = false;
};

io::Task<Result<>> send(Relay& relay, std::string text, io::Deadline deadline) {
  while (relay.busy) STEPPE_CO_TRY_VOID(co_await relay.sending.wait(deadline));
  relay.busy = true;
  auto sent = co_await relay.stream.send(piece_of(std::move(text)), deadline);
  relay.busy = false;
  relay.sending.pulse();
  if (!sent.ok()) co_return Error(sent.error());
  co_return Result<>();
}

// Reads one output until its end. A terminal answers EIO when its other side is closed: that is its end.
io::Task<void> pump_output(Relay& relay, int fd, ExecStream stream) {
  io::Deadline deadline{.stop = relay.stop.get_token()};
  std::array<std::byte, 16384> buffer;
  while (true) {
    Result<size_t> n = kernel::read_now(fd, buffer);
    if (n.ok() && *n > 0) {
      if (!(co_await send(relay, exec_output(stream, as_text({buffer.data(), *n})), deadline)).ok()) break;
      continue;
    }
    if (n.ok() || n.error().code() != Code::kUnavailable) break;
    if (!(co_await io::wait_ready(relay.loop, fd, io::Readiness::kReadable, deadline)).ok()) break;
  }
  if (!relay.stop.stop_requested()) (void)co_await send(relay, exec_closed(stream), deadline);
}

io::Task<Result<>> write_input(Relay& relay, int fd, std::string data, io::Deadline deadline) {
  std::string_view rest = data;
  while (!rest.empty()) {
    Result<size_t> n = kernel::write_now(fd, as_bytes(rest));
    if (n.ok()) {
      rest.remove_prefix(*n);
    } else if (n.error().code() == Code::kUnavailable) {
      STEPPE_CO_TRY_VOID(co_await io::wait_ready(relay.loop, fd, io::Readiness::kWritable, deadline));
    } else {
      co_return n.error();
    }
  }
  co_return Result<>();
}

io::Task<void> pump_input(Relay& relay) {
  io::Deadline deadline{.stop = relay.stop.get_token()};
  bool open = true;
  while (true) {
    auto message = co_await relay.stream.receive(deadline);
    if (!message.ok() || !*message) {
      // The peer left: the command goes with it.
      relay.stop.request_stop();
      co_return;
    }
    Result<ExecInput> input = parse_exec_input((*message)->payload());
    if (!input.ok()) {
      relay.stop.request_stop();
      co_return;
    }
    if (input->tty_size && relay.tty) (void)relay.session.resize(input->tty_size->rows, input->tty_size->columns);
    int fd = relay.tty ? relay.session.terminal() : relay.session.stdin_fd();
    if (open && !input->stdin_data.empty()) open = (co_await write_input(relay, fd, std::move(input->stdin_data), deadline)).ok();
    if (open && input->stdin_close) {
      open = false;
      // On a terminal the end of input is a character: ^D.
      if (relay.tty) {
        (void)co_await write_input(relay, fd, "\x04", deadline);
      } else {
        relay.session.close_stdin();
      }
    }
  }
}

}  // namespace

io::Task<Outcome<>> run_exec(io::Loop& loop, drivers::ExecSession& session, bool tty, endpoint::Stream& stream,
                             io::Deadline deadline) {
  Relay relay{loop, session, stream, tty, {}, io::Event(loop)};
  std::stop_callback gone(deadline.stop, [&relay] { relay.stop.request_stop(); });
  io::Scope input(loop), output(loop);
  input.spawn(pump_input(relay));
  output.spawn(pump_output(relay, tty ? session.terminal() : session.stdout_fd(), ExecStream::kStdout));
  if (!tty) output.spawn(pump_output(relay, session.stderr_fd(), ExecStream::kStderr));
  Result<> ended = co_await io::wait_ready(loop, session.wait_fd(), io::Readiness::kReadable, {.at = deadline.at, .stop = relay.stop.get_token()});
  if (ended.ok()) {
    // What it wrote before it ended is still in the pipes; a child that kept them open may not hold us for ever.
    io::Event drained(loop);
    Result<> quiet;
    MonoTime limit = loop.now() + std::chrono::seconds(2);
    while (output.running() > 0 && loop.now() < limit && quiet.ok()) {
      quiet = co_await io::sleep_for(loop, std::chrono::milliseconds(5), relay.stop.get_token());
    }
    Result<drivers::ExitResult> exit = session.reap();
    int code = exit.ok() ? exit->code : 1;
    (void)co_await send(relay, exec_exited(code), {.stop = relay.stop.get_token()});
    stream.finish();
  }
  relay.stop.request_stop();
  co_await output.join();
  co_await input.join();
  co_return Outcome<>();
}

}  // namespace steppe::client
