#include "init/machine/node/machine_flow.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <format>

#include "init/base/text.h"
#include "init/machine/network/program_output.h"
#include "init/machine/node/console.h"
#include "init/sys/kernel/descriptor_io.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::node {
namespace {

using namespace std::chrono_literals;

constexpr Duration kReadyAnyway = 5s;
constexpr Duration kCheckLimit = 30s;      // for the agent's look at its configuration
constexpr Duration kLookLimit = 2min;      // for what the sources at hand link to
constexpr Duration kFirstPause = 1s, kLongestPause = 15s;
constexpr Duration kAskAgain = 1min;       // while the machine waits
constexpr Duration kMaintenancePause = 2s; // before what answers in maintenance mode is started again
constexpr size_t kMaxBundle = 4 << 20;

// After what makes the device's name a default.
std::string device_of(const network::Status& status) {
  for (const network::Status::Link& link : status.links) {
    if (link.carrier) return link.name;
  }
  return status.links.empty() ? "" : status.links.front().name;
}

}  // namespace

MachineFlow::MachineFlow(const MachinePaths& paths, io::EpollLoop& loop, io::Processes& processes, const kernel::Beneath& run, log::Logger logger)
    : paths_(paths), loop_(loop), processes_(processes), run_(run), logger_(std::move(logger)), scope_(loop), parent_(loop), online_(loop), news_(loop), network_over_(loop) {}

void MachineFlow::say_ready() {
  if (!ready_) ParentLines::tell("READY=1");
  ready_ = true;
}

// What starts after the network had better find an address, but not wait for one that never comes.
io::Task<void> MachineFlow::be_ready_anyway() {
  if ((co_await io::sleep_for(loop_, kReadyAnyway, scope_.token())).ok()) say_ready();
}

io::Task<void> MachineFlow::tell_lines() { co_await parent_.run(scope_.token()); }

void MachineFlow::say_once(const std::string& fault) {
  if (said_.insert(fault).second) logger_.error("configuration", {{"fault", fault}});
}

void MachineFlow::network_changed(const network::Status& status) {
  if (status == status_) return;
  status_ = status;
  std::string text;
  for (const network::Status::Link& link : status.links) {
    logger_.info("link", {{"name", link.name}, {"carrier", link.carrier}, {"addresses", join(link.addresses, " ")}});
    text += std::format("{}{} {}", text.empty() ? "" : "; ", link.name, !link.addresses.empty() ? join(link.addresses, " ") : link.carrier ? "no address" : "no carrier");
  }
  parent_.show(text.empty() ? "no network device" : text);
  if (status.online()) {
    say_ready();
    online_.set();
  }
  if (waiting_) show_maintenance();
}

void MachineFlow::want_network(network::Settings settings) {
  settings.device_kind = paths_.device_kind;
  if (typed_) {
    network::LinkSettings link = typed_->link;
    if (link.match.name.empty()) link.match.name = device_of(status_);
    std::erase_if(settings.links, [&](const network::LinkSettings& one) { return one.match.name == link.match.name; });
    settings.links.insert(settings.links.begin(), std::move(link));
    settings.dns.insert(settings.dns.begin(), typed_->dns.begin(), typed_->dns.end());
  }
  if (settings == wanted_network_) return;
  wanted_network_ = std::move(settings);
  network_restart_.request_stop();
}

io::Task<Result<>> MachineFlow::keep_network(std::stop_token stop) {
  STEPPE_CO_TRY_VOID(run_.make_directories("network", 0755));
  STEPPE_CO_TRY(const kernel::Beneath directory, run_.sub("network"));
  while (!stop.stop_requested()) {
    network_restart_ = std::stop_source();
    const std::stop_callback both(stop, [this] { network_restart_.request_stop(); });
    network::NetworkService::Options options;
    options.dhcp_program = paths_.dhcp;
    options.host_name = host_name_;
    options.changed = [this](const network::Status& status) { network_changed(status); };
    options.leased = [this](const std::vector<network::Lease>& leases) {
      leases_ = leases;
      keep_time_servers();
    };
    network::NetworkService service(loop_, processes_, directory, paths_.run + "/network", std::move(options), logger_);
    STEPPE_CO_TRY_VOID(co_await service.run(wanted_network_, network_restart_.get_token()));
  }
  co_return Result<>();
}

io::Task<void> MachineFlow::network_root(std::stop_token stop) {
  network_result_ = co_await keep_network(stop);
  network_over_.set();
  over_.request_stop();
}

Configuration MachineFlow::read_all(bool agent_ok) {
  std::vector<std::string> faults;
  RawSources sources = read_sources(paths_.root, faults);
  if (!link_fault_.empty()) faults.push_back(link_fault_);
  if (remote_) {
    for (Document& document : remote_->found()) sources.documents.push_back(std::move(document));
    for (std::string& fault : remote_->faults()) faults.push_back(std::move(fault));
  }
  sources.faults = std::move(faults);
  Configuration found = configure(sources, agent_ok);
  faults_ = found.problems;
  for (const std::string& fault : faults_) say_once(fault);
  for (const std::string& note : found.notes) {
    if (said_.insert(note).second) logger_.info("configuration", {{"note", note}});
  }
  return found;
}

void MachineFlow::keep_time_servers() {
  std::string servers = time_servers(time_, leases_);
  if (servers == servers_) return;
  Result<> written = run_.make_directories("time", 0755);
  if (written.ok()) written = run_.write("time/servers", as_bytes(servers), 0644);
  if (written.ok()) servers_ = std::move(servers);
  else logger_.error("the time servers are not written", {{"error", written.error()}});
}

// What counts before it is known whether the machine is complete: its name, its network, whom it trusts, its time servers.
void MachineFlow::use(const Configuration& found) {
  const std::string& name = host_name_ = found.config.identity.hostname;
  if (!name.empty() && ::sethostname(name.data(), name.size()) != 0) logger_.error("the host name is not set", {{"error", Error::from_errno(errno, name)}});
  time_ = found.config.time;
  keep_time_servers();
  environment_ = agent_environment(found.config, paths_.run);
  Result<std::string> of_image = kernel::read_host_file(paths_.root + "etc/ssl/certs/ca-certificates.crt", Bytes(kMaxBundle));
  std::string bundle = trust_bundle(of_image.ok() ? *of_image : "", found.config.ca);
  Result<> written;
  if (bundle != trust_) {
    written = run_.make_directories("trust", 0755);
    if (written.ok()) written = run_.write("trust/ca-certificates.crt", as_bytes(bundle), 0644);
  }
  if (written.ok()) written = run_.write("agent.env", as_bytes(join(environment_, "\n") + "\n"), 0600);
  if (written.ok()) trust_ = std::move(bundle);
  else logger_.error("what the agent is to trust is not written", {{"error", written.error()}});
  want_network(found.config.network);
}

Result<> MachineFlow::write_agent_files(const machine::MachineConfig& config, bool agent_ok) {
  // Made beside and put in place at once: the agent never sees half of them.
  STEPPE_TRY_VOID(run_.remove_tree("agent.new"));
  STEPPE_TRY_VOID(run_.make_directories("agent.new", 0700));
  for (const auto& [name, text] : agent_files(config, paths_.run, agent_ok)) STEPPE_TRY_VOID(run_.write("agent.new/" + name, as_bytes(text), 0600));
  STEPPE_TRY_VOID(run_.remove_tree("agent.d"));
  return run_.move("agent.new", run_, "agent.d");
}

// The agent's own check of what it is to read. False when it refuses; what it says goes to the log.
io::Task<bool> MachineFlow::agent_takes_it() {
  std::vector<std::string> words{"config", "validate", paths_.run + "/agent.d"};
  Result<network::ProgramOutput> checked = co_await network::output_of(loop_, processes_, paths_.agent, std::move(words), io::Deadline::in(loop_, kCheckLimit));
  if (checked.ok() && checked->status.ok()) co_return true;
  if (!checked.ok()) {
    logger_.error("the agent's configuration cannot be checked", {{"error", checked.error()}});
    co_return false;
  }
  for (std::string_view line : split(trim(checked->text), '\n')) {
    logger_.error("configuration, agent block", {{"fault", line}});
    faults_.emplace_back(line);
  }
  co_return false;
}

// One look at all that is known; true when the machine is complete and its agent's files are there.
io::Task<bool> MachineFlow::look() {
  Configuration found = read_all(true);
  use(found);
  if (!found.complete) co_return false;
  Result<> written = write_agent_files(found.config, true);
  if (written.ok() && found.config.given.contains(machine::Section::kAgent) && !co_await agent_takes_it()) {
    const std::vector<std::string> refused = std::exchange(faults_, {});
    found = read_all(false);
    faults_.insert(faults_.end(), refused.begin(), refused.end());
    if (!found.complete) co_return false;
    written = write_agent_files(found.config, false);
  }
  if (!written.ok()) logger_.error("the agent's configuration is not written", {{"error", written.error()}});
  co_return written.ok();
}

io::Task<void> MachineFlow::ask_links(MonoTime until, std::stop_token stop) {
  Duration pause = kFirstPause;
  while (!remote_->pending().empty()) {
    if (!(co_await online_.wait({until, stop})).ok()) co_return;
    const std::vector<size_t> pending = remote_->pending();
    for (size_t number : pending) {
      Fetched fetched = co_await fetch_document(loop_, processes_, paths_.agent, remote_->source(number), environment_, stop);
      if (stop.stop_requested()) co_return;
      logger_.info("configuration asked for", {{"at", remote_->source(number).name()}, {"answer", fetched.answer == RemoteDocuments::Answer::kFound ? "a document" : fetched.text}});
      remote_->answered(number, fetched.answer, std::move(fetched.text));
    }
    if (remote_->pending().empty() || loop_.now() + pause >= until) co_return;
    if (!(co_await io::sleep_for(loop_, pause, stop)).ok()) co_return;
    pause = std::min(pause * 2, kLongestPause);
  }
}

void MachineFlow::show_maintenance() {
  std::string lines;
  bool any = false;
  auto show = [&](const std::string& line) {
    if (!code_.empty()) parent_.show("maintenance: " + line);
    lines += line + "\n";
  };
  for (const network::Status::Link& link : status_.links) {
    for (const std::string& address : link.addresses) {
      const std::string plain = address.substr(0, address.find('/'));
      show(std::format("https://{}:{} ({})", plain.find(':') != plain.npos ? "[" + plain + "]" : plain, paths_.port, link.name));
      any = true;
    }
  }
  if (!any) show("no address yet; type here: address 192.0.2.5/24 gateway 192.0.2.1");
  if (!code_.empty()) {
    parent_.show("maintenance: code " + code_);
    parent_.show("maintenance: pin " + pin_);
  }
  for (const std::string& fault : faults_) lines += fault + "\n";
  Result<> written = run_.make_directories("maintenance", 0700);
  if (written.ok()) written = run_.write("maintenance/status", as_bytes(lines.substr(0, 64 << 10)), 0600);
  if (!written.ok()) logger_.error("the state of maintenance mode is not written", {{"error", written.error()}});
}

std::string MachineFlow::console_said(Result<ConsoleLine> line) {
  if (!line.ok()) return line.error().message() + "\n";
  switch (line->kind) {
    case ConsoleLine::Kind::kNothing: return "";
    case ConsoleLine::Kind::kHelp: return std::string(kConsoleHelp);
    case ConsoleLine::Kind::kShow: show_maintenance(); return "";
    case ConsoleLine::Kind::kAddress: break;
  }
  if (line->link.match.name.empty()) line->link.match.name = device_of(status_);
  if (line->link.match.name.empty()) return "there is no network device\n";
  std::string said = std::format("{} on {}\n", line->link.addresses[0].text(), line->link.match.name);
  logger_.info("an address was typed on the console", {{"address", line->link.addresses[0].text()}, {"device", line->link.match.name}});
  network::Settings settings = wanted_network_;
  typed_ = *std::move(line);
  want_network(std::move(settings));
  return said;
}

io::Task<void> MachineFlow::read_maintenance(int fd, std::stop_token stop) {
  std::string text;
  std::byte buffer[1024];
  while ((co_await io::wait_ready(loop_, fd, io::Readiness::kReadable, io::Deadline{.stop = stop})).ok()) {
    Result<size_t> n = kernel::read_now(fd, buffer);
    if (!n.ok() || *n == 0 || text.size() > 64 << 10) co_return;
    text.append(as_text({buffer, *n}));
    for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) {
      const std::string line = text.substr(0, end);
      text.erase(0, end + 1);
      if (line.starts_with("pin ")) pin_ = line.substr(4);
      else if (line.starts_with("wrong code")) logger_.warn("maintenance", {{"said", line}});
      if (!line.starts_with("code ")) continue;
      code_ = line.substr(5);
      show_maintenance();
    }
  }
}

// What answers on the network while the machine waits. It ends with 0 once it has taken a document.
io::Task<void> MachineFlow::serve_maintenance(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Result<kernel::Pipe> pipe = kernel::make_pipe();
    io::SpawnOptions options;
    options.program = paths_.agent;
    options.arguments = {"maintenance", "-root", paths_.root, "-run", paths_.run, "-port", paths_.port};
    if (pipe.ok()) options.descriptors = {{pipe->write.get(), 1}, {STDERR_FILENO, 2}};
    auto child = pipe.ok() ? processes_.spawn(options) : Result<std::unique_ptr<io::Child>>(pipe.error());
    if (child.ok()) {
      pipe->write.reset();
      co_await read_maintenance(pipe->read.get(), stop);  // to its end, which is the process's, or ours
      Result<io::ExitStatus> ended = co_await (*child)->wait({.stop = stop});
      if (ended.ok() && ended->ok()) {
        news_.set();
      } else if (ended.ok()) {
        logger_.error("maintenance mode does not answer", {{"code", ended->code}, {"signal", ended->signal}});
      }
    } else {
      logger_.error("maintenance mode does not answer", {{"error", child.error()}});
    }
    if (!(co_await io::sleep_for(loop_, kMaintenancePause, stop)).ok()) co_return;
  }
}

io::Task<void> MachineFlow::keep_asking(std::stop_token stop) {
  while ((co_await io::sleep_for(loop_, kAskAgain, stop)).ok()) {
    remote_->ask_again();
    co_await ask_links(loop_.now() + kAskAgain, stop);
    news_.set();
  }
}

io::Task<void> MachineFlow::wait_for_configuration(std::stop_token stop) {
  waiting_ = true;
  logger_.warn("maintenance mode", {{"why", faults_.empty() ? "no configuration names this machine" : "the configuration is broken, or nothing but that names this machine"}});
  parent_.show(faults_.empty() ? "maintenance mode: no configuration names this machine" : "maintenance mode: the configuration has faults");
  say_ready();
  show_maintenance();
  io::Scope beside(loop_);
  beside.spawn(serve_maintenance(beside.token()));
  if (remote_) beside.spawn(keep_asking(beside.token()));
  for (std::string& path : console_devices(paths_.root)) {
    beside.spawn(serve_console(loop_, std::move(path), [this](Result<ConsoleLine> line) { return console_said(std::move(line)); }, beside.token()));
  }
  while (!stop.stop_requested()) {
    (void)co_await news_.wait({.stop = stop});
    news_.reset();
    if (stop.stop_requested() || co_await look()) break;
    show_maintenance();
  }
  waiting_ = false;
  beside.request_stop();
  co_await beside.join();
}

io::Task<Result<>> MachineFlow::run(std::stop_token asked) {
  const std::stop_callback both(asked, [this] { over_.request_stop(); });
  const std::stop_token stop = over_.get_token();
  // Nothing that needs a configuration starts before it is known whether there is one.
  ParentLines::tell("X_STEPPE_HOLD=1");
  scope_.spawn(tell_lines());
  scope_.spawn(be_ready_anyway());
  Configuration first = read_all(true);
  use(first);
  scope_.spawn(network_root(stop));
  Result<std::vector<machine::RemoteSource>> links = machine::remote_sources(first.settings, read_facts(paths_.root));
  if (!links.ok()) link_fault_ = links.error().message();
  bool complete = false;
  if (links.ok() && !links->empty()) {
    const MonoTime until = loop_.now() + kLookLimit;
    (void)co_await online_.wait({until, stop});  // only now all devices are there
    links = machine::remote_sources(first.settings, read_facts(paths_.root));
    remote_.emplace(*std::move(links));
    co_await ask_links(until, stop);
  }
  if (!stop.stop_requested()) complete = co_await look();
  if (!complete && !stop.stop_requested()) co_await wait_for_configuration(stop);
  if (!stop.stop_requested()) ParentLines::tell("X_STEPPE_HOLD=0");
  (void)co_await network_over_.wait();
  scope_.request_stop();
  co_await scope_.join();
  co_return std::move(network_result_);
}

}  // namespace steppe::node
