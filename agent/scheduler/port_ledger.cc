#include "agent/scheduler/port_ledger.h"

#include <algorithm>
#include <format>

#include "agent/model/fit.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::scheduler {
namespace {

constexpr std::string_view kDefaultAlias = "default";

std::string_view alias_of(const schema::Port& port) {
  return port.host_network().empty() ? kDefaultAlias : std::string_view(port.host_network());
}

schema::AllocatedPortMapping mapping(const schema::Port& port, uint32_t value, const std::string& ip) {
  schema::AllocatedPortMapping out;
  out.set_label(port.label());
  out.set_value(value);
  out.set_to(port.to() == -1 ? value : port.to());
  out.set_host_ip(ip);
  out.set_ignore_collision(port.ignore_collision());
  return out;
}

}  // namespace

PortLedger::PortLedger(const schema::Node& node) {
  const auto& resources = node.node_resources();
  if (resources.min_dynamic_port() > 0) min_dynamic_ = static_cast<uint32_t>(resources.min_dynamic_port());
  if (resources.max_dynamic_port() > 0) max_dynamic_ = static_cast<uint32_t>(resources.max_dynamic_port());
  max_dynamic_ = std::min(max_dynamic_, kPorts - 1);
  for (const auto& network : resources.node_networks()) {
    for (const auto& address : network.addresses()) {
      add_address(address.address(), address.alias().empty() ? std::string(kDefaultAlias) : address.alias(),
                  network.device(), address.reserved_ports());
    }
  }
  if (addresses_.empty()) {
    for (const auto& network : resources.networks()) {
      if (!network.ip().empty()) add_address(network.ip(), std::string(kDefaultAlias), network.device(), "");
    }
  }
  std::vector<uint32_t> reserved;
  model::parse_port_ranges(node.reserved_resources().networks().reserved_host_ports(), &reserved);
  for (Address& address : addresses_) {
    for (const uint32_t port : reserved) {
      if (port >= kPorts) continue;
      set(address.taken, port);
      set(address.exclusive, port);
    }
  }
}

void PortLedger::add_address(std::string ip, std::string alias, std::string device, const std::string& reserved) {
  if (std::ranges::any_of(addresses_, [&](const Address& a) { return a.ip == ip && a.alias == alias; })) return;
  Address& address = addresses_.emplace_back(std::move(ip), std::move(alias), std::move(device));
  for (auto* bits : {&address.taken, &address.exclusive, &address.cooling}) bits->assign(kPorts / 64, 0);
  std::vector<uint32_t> ports;
  model::parse_port_ranges(reserved, &ports);
  for (const uint32_t port : ports) {
    if (port >= kPorts) continue;
    set(address.taken, port);
    set(address.exclusive, port);
  }
}

void PortLedger::hold_port(const std::string& ip, int64_t port, bool shared, bool cooling) {
  if (port <= 0 || port >= kPorts) return;
  const auto number = static_cast<uint32_t>(port);
  // One address may stand under two aliases; a port without an address is held everywhere.
  for (Address& address : addresses_) {
    if (!ip.empty() && address.ip != ip) continue;
    if (cooling) {
      set(address.cooling, number);
      continue;
    }
    set(address.taken, number);
    if (!shared) set(address.exclusive, number);
  }
}

void PortLedger::hold_all(const schema::AllocatedResources& resources, bool cooling) {
  for (const auto& port : resources.shared().ports()) {
    hold_port(port.host_ip(), port.value(), port.ignore_collision(), cooling);
  }
  const auto hold_network = [&](const schema::NetworkResource& network) {
    for (const auto& port : network.reserved_ports()) hold_port(network.ip(), port.value(), port.ignore_collision(), cooling);
    for (const auto& port : network.dynamic_ports()) hold_port(network.ip(), port.value(), port.ignore_collision(), cooling);
  };
  // The port list and the network say the same thing in two shapes; the network alone is the older one.
  if (resources.shared().ports().empty()) {
    for (const auto& network : resources.shared().networks()) hold_network(network);
  }
  for (const auto& [name, task] : resources.tasks()) {
    for (const auto& network : task.networks()) hold_network(network);
  }
}

void PortLedger::hold(const schema::AllocatedResources& resources) { hold_all(resources, false); }
void PortLedger::cool(const schema::AllocatedResources& resources) { hold_all(resources, true); }

std::optional<uint32_t> PortLedger::dynamic_port(const Address& address, const std::vector<uint32_t>& drawn,
                                                 Rng& rng) const {
  if (min_dynamic_ > max_dynamic_) return std::nullopt;
  const auto usable = [&](uint32_t port) {
    return !bit(address.taken, port) && std::ranges::find(drawn, port) == drawn.end();
  };
  const uint32_t width = max_dynamic_ - min_dynamic_ + 1;
  for (int i = 0; i < kRandomTries; ++i) {
    const auto port = static_cast<uint32_t>(min_dynamic_ + rng.below(width));
    if (usable(port) && !bit(address.cooling, port)) return port;
  }
  std::optional<uint32_t> warm;
  for (uint32_t port = min_dynamic_; port <= max_dynamic_; ++port) {
    if (!usable(port)) continue;
    if (!bit(address.cooling, port)) return port;
    if (!warm) warm = port;
  }
  return warm;
}

PortLedger::Offer PortLedger::offer(const schema::NetworkResource& ask, Rng& rng) const {
  Offer out;
  struct Drawn {
    std::string ip;
    uint32_t port;
  };
  std::vector<Drawn> drawn;
  for (const auto& port : ask.reserved_ports()) {
    bool known = false;
    bool placed = false;
    for (const Address& address : addresses_) {
      if (address.alias != alias_of(port)) continue;
      known = true;
      if (port.value() < 0 || port.value() >= kPorts) continue;
      const auto number = static_cast<uint32_t>(port.value());
      if (bit(port.ignore_collision() ? address.exclusive : address.taken, number)) continue;
      const bool twice = std::ranges::any_of(
          drawn, [&](const Drawn& d) { return d.ip == address.ip && d.port == number; });
      if (twice && !port.ignore_collision()) continue;
      drawn.push_back({address.ip, number});
      out.ports.push_back(mapping(port, number, address.ip));
      placed = true;
      break;
    }
    if (placed) continue;
    out.ports.clear();
    out.refusal = known ? std::format("reserved port collision {}={}", port.label(), port.value())
                        : std::format("no addresses available for {} network", alias_of(port));
    return out;
  }
  for (const auto& port : ask.dynamic_ports()) {
    bool known = false;
    bool placed = false;
    for (const Address& address : addresses_) {
      if (address.alias != alias_of(port)) continue;
      known = true;
      std::vector<uint32_t> mine;
      for (const Drawn& d : drawn) {
        if (d.ip == address.ip) mine.push_back(d.port);
      }
      const auto number = dynamic_port(address, mine, rng);
      if (!number) continue;
      drawn.push_back({address.ip, *number});
      out.ports.push_back(mapping(port, *number, address.ip));
      placed = true;
      break;
    }
    if (placed) continue;
    out.ports.clear();
    out.refusal = known ? "dynamic port selection failed"
                        : std::format("no addresses available for {} network", alias_of(port));
    return out;
  }
  return out;
}

std::string PortLedger::default_address() const {
  for (const Address& address : addresses_) {
    if (address.alias == kDefaultAlias) return address.ip;
  }
  return {};
}

std::string PortLedger::default_device() const {
  for (const Address& address : addresses_) {
    if (address.alias == kDefaultAlias) return address.device;
  }
  return {};
}

}  // namespace steppe::scheduler
