#include "agent/maintenance/maintenance_command.h"

#include <linux/magic.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cstdio>
#include <format>
#include <memory>
#include <optional>

#include "agent/http/server.h"
#include "agent/maintenance/maintenance_api.h"
#include "agent/tls/server_identity.h"
#include "init/base/text.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_net.h"
#include "init/machine/machine_config.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/self_confine.h"

namespace steppe::maintenance {
namespace {

constexpr const char* kFile = "steppe.hcl";

class StderrSink final : public log::Sink {
 public:
  void write(const log::Record& record) override {
    const std::string line = log::render(record);
    if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;
  }
};

void say(const std::string& line) {
  const std::string text = line + "\n";
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) return;
}

struct Words {
  std::string root = "/", run = "/run/steppe";
  uint16_t port = 4646;
};

Result<Words> read_words(const std::vector<std::string>& words) {
  Words out;
  Error wrong(Code::kInvalid, "expected: maintenance [-root DIR] [-run DIR] [-port N]");
  for (size_t i = 1; i < words.size(); i += 2) {
    if (i + 1 == words.size()) return wrong;
    Result<uint64_t> port = words[i] == "-port" ? parse_uint(words[i + 1]) : Result<uint64_t>(uint64_t{0});
    if (words[i] == "-root" && words[i + 1].starts_with('/')) out.root = words[i + 1];
    else if (words[i] == "-run" && words[i + 1].starts_with('/')) out.run = words[i + 1];
    else if (words[i] == "-port" && port.ok() && *port <= 65535) out.port = static_cast<uint16_t>(*port);
    else return wrong;
  }
  if (!out.root.ends_with('/')) out.root += '/';
  return out;
}

// The directories where a document may be kept, the better one first.
struct Shelf {
  kernel::Beneath directory;
  std::string shown;
  bool stays;
};

bool in_memory(int fd) {
  struct statfs information;
  return ::fstatfs(fd, &information) == 0 && information.f_type == TMPFS_MAGIC;
}

std::vector<Shelf> shelves(const Words& words) {
  std::vector<Shelf> out;
  Result<kernel::Beneath> root = kernel::Beneath::at(words.root, kernel::Beneath::Links::kFollow);
  for (const char* path : {"state/config", "run/steppe/applied"}) {
    if (!root.ok() || !root->make_directories(path, 0700).ok()) continue;
    Result<kernel::Beneath> directory = root->sub(path);
    // A root that cannot be written has such a directory, too.
    if (!directory.ok() || !directory->write(".try", {}, 0600).ok() || !directory->remove_tree(".try").ok()) continue;
    const bool stays = !in_memory(directory->fd());
    out.push_back({*std::move(directory), std::format("/{}/{}", path, kFile), stays});
  }
  return out;
}

Result<Stored> store(const std::vector<Shelf>& shelves, const std::string& text) {
  Error last(Code::kUnavailable, "there is no place to keep it: neither /state/config nor /run/steppe/applied can be written");
  for (const Shelf& shelf : shelves) {
    Result<> written = shelf.directory.write(kFile, as_bytes(text), 0600, kernel::Beneath::Sync::kYes);
    if (written.ok()) return Stored{shelf.shown, shelf.stays};
    last = written.error();
  }
  return last;
}

std::vector<std::string> status_lines(const std::optional<kernel::Beneath>& directory) {
  std::vector<std::string> out;
  Result<std::string> text = directory ? directory->read("status", Bytes::kib(64)) : Result<std::string>(std::string());
  if (!text.ok()) return out;
  for (std::string_view line : split(trim(*text), '\n')) out.emplace_back(line);
  return out;
}

io::Task<void> answer(MaintenanceApi& api, io::Event& done, http::Request& request, http::ResponseWriter& writer) {
  http::Response response = api.answer(request);
  (void)co_await writer.send(std::move(response));
  if (api.taken()) done.set();
}

io::Task<void> until_signal(io::Loop& loop, int fd, io::Event& done, std::stop_token token) {
  if ((co_await io::wait_ready(loop, fd, io::Readiness::kReadable, io::Deadline{.stop = token})).ok()) done.set();
}

http::ServerOptions server_options() {
  http::ServerOptions out;
  out.limits = {.header_bytes = 8 << 10, .body = Bytes(machine::kMaxConfigBytes)};
  out.connections = 32;
  out.bodies = Bytes::mib(4);
  out.connections_per_address = 8;
  out.idle = std::chrono::seconds(20);
  out.body_deadline = std::chrono::seconds(30);
  out.write_deadline = std::chrono::seconds(10);
  out.check_origin = true;
  return out;
}

struct Serving {
  io::EpollLoop& loop;
  std::unique_ptr<io::Listener> listener;
  const tls::ServerIdentity& identity;
  MaintenanceApi& api;
  int signals;
};

io::Task<void> serve(Serving it) {
  io::Event done(it.loop);
  const log::Logger logger(std::make_shared<StderrSink>(), &io::system_clock(), log::Level::kWarn);
  MaintenanceApi& api = it.api;
  http::Server server(it.loop, io::system_rng(), logger, server_options(),
                      [&api, &done](http::Request& request, http::ResponseWriter& writer) { return answer(api, done, request, writer); });
  server.serve(it.identity.listen(std::move(it.listener)));
  io::Scope scope(it.loop);
  scope.spawn(until_signal(it.loop, it.signals, done, scope.token()));
  (void)co_await done.wait();
  scope.request_stop();
  co_await scope.join();
  co_await server.stop();
}

Result<std::unique_ptr<io::Listener>> listen(io::Network& network, uint16_t port) {
  // One socket for both kinds of addresses, unless this kernel has no IPv6.
  Result<std::unique_ptr<io::Listener>> both = network.listen({"", "::", port});
  return both.ok() ? std::move(both) : network.listen({"", "0.0.0.0", port});
}

Result<> run(const Words& words) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody would read the code of one that is left over, and it would keep the port
  const kernel::Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  STEPPE_TRY(auto loop, io::EpollLoop::create(1));
  auto network = io::make_posix_network(*loop);
  STEPPE_TRY(std::unique_ptr<io::Listener> listener, listen(*network, words.port));
  const std::string port = std::to_string(listener->local().port);
  STEPPE_TRY(const tls::ServerIdentity identity, tls::ServerIdentity::self_signed("steppe maintenance"));
  const Secret code = make_code(io::system_rng());
  const std::vector<Shelf> kept = shelves(words);
  std::optional<kernel::Beneath> status;
  if (Result<kernel::Beneath> found = kernel::Beneath::at(words.run + "/maintenance"); found.ok()) status = *std::move(found);
  kernel::Confinement confinement;
  for (const Shelf& shelf : kept) confinement.writable.push_back(shelf.directory.fd());
  if (status) confinement.readable.push_back(words.run + "/maintenance");
  STEPPE_TRY_VOID(kernel::confine_self(confinement));
  MaintenanceApi api(code, *loop,
                     {.store = [&kept](const std::string& text) { return store(kept, text); },
                      .lines = [&status] { return status_lines(status); },
                      .wrong_code = [](const std::string& peer) { say("wrong code from " + counted_address(peer)); }});
  say("port " + port);
  say("pin " + identity.pin());
  say("code " + code.reveal());
  io::start_root(*loop, serve({*loop, std::move(listener), identity, api, signals.get()}), [&] { loop->stop(); });
  loop->run();
  if (!api.taken()) return Error(Code::kCancelled, "ended before a configuration came");
  return {};
}

}  // namespace

int run_maintenance_command(const std::vector<std::string>& words) {
  Result<Words> read = read_words(words);
  if (!read.ok()) {
    std::fprintf(stderr, "%s\n", read.error().message().c_str());
    return 2;
  }
  Result<> done = run(*read);
  if (done.ok() || done.error().code() == Code::kCancelled) return done.ok() ? 0 : 3;
  std::fprintf(stderr, "maintenance: %s\n", done.error().message().c_str());
  return 1;
}

}  // namespace steppe::maintenance
