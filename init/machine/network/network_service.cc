#include "init/machine/network/network_service.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <format>

#include "init/base/text.h"
#include "init/io/wait.h"
#include "init/machine/network/dhcp_config.h"
#include "init/machine/network/program_output.h"
#include "init/sys/kernel/descriptor_io.h"

namespace steppe::network {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLookAgain = 60s;       // without news of the kernel's
constexpr Duration kFirstPause = 1s;       // before dhcpcd is started again that ended by itself; doubles up to kLookAgain
constexpr Duration kSettle = 50ms;         // news come in bursts
constexpr Duration kLeasesLimit = 10s;     // for one `dhcpcd -U`
constexpr Duration kEndLimit = 5s;         // for dhcpcd to end
constexpr int kMaxRounds = 8;              // actions on actions before the kernel is left to settle

bool is_link_local(const kernel::IpAddress& ip) {
  return ip.size == 16 ? ip.bytes[0] == 0xfe && (ip.bytes[1] & 0xc0) == 0x80 : ip.bytes[0] == 169 && ip.bytes[1] == 254;
}

template <class... Each>
struct Cases : Each... {
  using Each::operator()...;
};

Result<> carry_out(kernel::RouteSocket& kernel, const Action& action) {
  return std::visit(Cases{[&](const MakeBond& a) { return kernel.add_bond(a.name, a.mode); },
                          [&](const MakeVlan& a) { return kernel.add_vlan(a.name, a.parent, a.id); },
                          [&](const SetUp& a) { return kernel.set_up(a.link, a.up); },
                          [&](const SetMaster& a) { return kernel.set_master(a.link, a.master); },
                          [&](const SetMtu& a) { return kernel.set_mtu(a.link, a.mtu); },
                          [&](const AddAddress& a) { return kernel.add_address(a.link, a.prefix); },
                          [&](const AddRoute& a) { return kernel.add_route(a.route); }},
                    action);
}

}  // namespace

bool Status::online() const {
  return std::ranges::any_of(links, [](const Link& link) { return !link.addresses.empty(); });
}

Status status_of(const Observed& observed) {
  Status out;
  for (const kernel::NetworkLink& link : observed.links) {
    if (link.loopback) continue;
    Status::Link seen{link.name, link.carrier, {}};
    for (const kernel::LinkAddress& have : observed.addresses) {
      if (have.link == link.index && !have.tentative && !is_link_local(have.prefix.address)) seen.addresses.push_back(have.prefix.text());
    }
    out.links.push_back(std::move(seen));
  }
  for (const kernel::Route& route : observed.routes) {
    if (route.destination.length != 0 || route.gateway.size == 0) continue;
    if (std::ranges::find(out.gateways, route.gateway.text()) == out.gateways.end()) out.gateways.push_back(route.gateway.text());
  }
  return out;
}

NetworkService::NetworkService(io::Loop& loop, io::Processes& processes, const kernel::Beneath& run, std::string run_path, Options options,
                               log::Logger logger)
    : loop_(loop), processes_(processes), run_(run), run_path_(std::move(run_path)), options_(std::move(options)), logger_(std::move(logger)),
      scope_(loop), news_(loop), dhcp_gone_(loop) {}

Result<Observed> NetworkService::observe() {
  Observed out;
  STEPPE_TRY(out.links, kernel_->links());
  STEPPE_TRY(out.addresses, kernel_->addresses());
  STEPPE_TRY(out.routes, kernel_->routes());
  return out;
}

// True when something was done. What the kernel refuses is no reason to leave the rest undone.
bool NetworkService::act(const std::vector<Action>& actions) {
  bool done = false;
  std::vector<std::string> complaints;
  for (const Action& action : actions) {
    Result<> result = carry_out(*kernel_, action);
    if (result.ok()) {
      done = true;
      continue;
    }
    complaints.push_back(result.error().message());
    if (std::ranges::find(complaints_, complaints.back()) == complaints_.end()) logger_.warn("network", {{"error", result.error()}});
  }
  complaints_ = std::move(complaints);
  return done;
}

io::Task<void> NetworkService::watch_dhcp() {
  Result<io::ExitStatus> ended = co_await dhcp_->wait({});
  if (ended.ok()) logger_.info("dhcpcd ended", {{"code", ended->code}, {"signal", ended->signal}});
  dhcp_gone_.set();
  news_.set();
}

io::Task<void> NetworkService::end_dhcp() {
  if (!dhcp_) co_return;
  (void)dhcp_->signal(SIGTERM);
  if (Result<> gone = co_await dhcp_gone_.wait(io::Deadline::in(loop_, kEndLimit)); !gone.ok()) {
    logger_.warn("dhcpcd does not end and is killed");
    (void)dhcp_->signal(SIGKILL);
    (void)co_await dhcp_gone_.wait();
  }
  dhcp_.reset();
}

io::Task<Result<>> NetworkService::serve_dhcp(const std::vector<std::string>& links) {
  if (dhcp_ && dhcp_gone_.is_set()) {  // by itself
    dhcp_.reset();
    dhcp_pause_ = std::clamp<Duration>(dhcp_pause_ * 2, kFirstPause, kLookAgain);
    dhcp_not_before_ = loop_.now() + dhcp_pause_;
  }
  std::string config = dhcp_config(links, options_.host_name);
  const bool same = config == dhcp_config_;
  if (same && (dhcp_ || links.empty() || loop_.now() < dhcp_not_before_)) co_return Result<>();
  co_await end_dhcp();
  STEPPE_CO_TRY_VOID(run_.write("dhcpcd.conf", as_bytes(config), 0644));
  dhcp_config_ = std::move(config);
  if (links.empty()) co_return Result<>();
  logger_.info("asking for addresses", {{"links", join(links, " ")}});
  io::SpawnOptions options;
  options.program = options_.dhcp_program;
  options.arguments = {"-B", "-q", "-f", run_path_ + "/dhcpcd.conf"};
  for (int number : {1, 2}) options.descriptors.emplace_back(2, number);
  STEPPE_CO_TRY(dhcp_, processes_.spawn(options));
  dhcp_gone_.reset();
  scope_.spawn(watch_dhcp());
  co_return Result<>();
}

io::Task<void> NetworkService::refresh_leases(std::stop_token stop) {
  std::vector<Lease> leases;
  if (dhcp_) {
    // It fails while dhcpcd is still starting: the next news ask again.
    std::vector<std::string> words{"-f", run_path_ + "/dhcpcd.conf", "-U"};
    Result<ProgramOutput> output = co_await output_of(loop_, processes_, options_.dhcp_program, std::move(words), io::Deadline::in(loop_, kLeasesLimit, stop));
    if (!output.ok()) {
      logger_.debug("no leases yet", {{"error", output.error()}});
      co_return;
    }
    auto read = read_leases(output->text);
    if (read.ok()) leases = std::move(*read);
    if (options_.leased) options_.leased(leases);
  }
  std::string text = resolv_conf(settings_, leases);
  if (text == resolv_) co_return;
  Result<> written = run_.make_directories(kResolvDirectory, 0755);
  if (written.ok()) written = run_.write(std::format("{}/resolv.conf", kResolvDirectory), as_bytes(text), 0644);
  if (written.ok()) resolv_ = std::move(text);
  else logger_.warn("resolv.conf is not written", {{"error", written.error()}});
}

// The kernel's reports are not read for what they say: any of them means "look again".
io::Task<void> NetworkService::read_news() {
  std::byte buffer[8192];
  for (;;) {
    Result<> ready = co_await io::wait_ready(loop_, reports_.get(), io::Readiness::kReadable, io::Deadline{.stop = scope_.token()});
    if (!ready.ok()) co_return;
    if (!(co_await io::sleep_for(loop_, kSettle, scope_.token())).ok()) co_return;
    // Until nothing is left; that some were lost (ENOBUFS) is one more reason to look.
    for (Result<size_t> n = size_t{1}; n.ok() || n.error().sys_errno() == ENOBUFS;) n = kernel::read_now(reports_.get(), ByteSpan(buffer));
    news_.set();
  }
}

io::Task<Result<>> NetworkService::run(Settings settings, std::stop_token stop) {
  settings_ = std::move(settings);
  STEPPE_CO_TRY(kernel::RouteSocket socket, kernel::RouteSocket::open());
  kernel_.emplace(std::move(socket));
  STEPPE_CO_TRY(reports_, kernel::watch_network());  // before the first look: nothing falls between
  scope_.spawn(read_news());
  Result<> result;
  while (!stop.stop_requested()) {
    news_.reset();
    Result<Observed> observed = observe();
    for (int round = 0; observed.ok() && round < kMaxRounds && act(next_actions(settings_, *observed)); ++round) observed = observe();
    if (!observed.ok()) {
      result = std::move(observed).error();
      break;
    }
    if (Result<> served = co_await serve_dhcp(dhcp_links(settings_, *observed)); !served.ok()) logger_.error("DHCP is not asked", {{"error", served.error()}});
    co_await refresh_leases(stop);
    if (Status now = status_of(*observed); now != status_) {
      status_ = std::move(now);
      if (options_.changed) options_.changed(status_);
    }
    MonoTime again = loop_.now() + kLookAgain;
    if (!dhcp_ && !dhcp_config_.empty()) again = std::min(again, dhcp_not_before_);
    (void)co_await news_.wait({again, stop});
  }
  co_await end_dhcp();
  scope_.request_stop();
  co_await scope_.join();
  co_return result;
}

}  // namespace steppe::network
