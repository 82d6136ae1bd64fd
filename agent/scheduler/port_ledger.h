#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "init/base/rng.h"

namespace steppe::schema {
class AllocatedPortMapping;
class AllocatedResources;
class NetworkResource;
class Node;
}

namespace steppe::scheduler {

// The host ports of one node, address by address: what the host reserves and what allocations hold.
class PortLedger {
 public:
  static constexpr uint32_t kPorts = 65536;
  static constexpr int kRandomTries = 20;

  // Addresses and reservations of the node; no allocation yet.
  explicit PortLedger(const schema::Node& node);

  // Holds the ports of an allocation that may still be running.
  void hold(const schema::AllocatedResources& resources);

  // The dynamic ports of an allocation that the same plan stops: free in principle, but its process may still sit on
  // them when the next one starts. Dynamic picks take them last.
  void cool(const schema::AllocatedResources& resources);

  struct Offer {
    std::vector<schema::AllocatedPortMapping> ports;
    std::string refusal;  // why not, when empty() is asked for: "reserved port collision http=8080", ...
    bool ok() const { return refusal.empty(); }
  };
  // Ports for the group's network. Static ones first, then dynamic ones: kRandomTries draws from `rng`, then every port
  // of the node's range in order. Holds nothing: call hold() with what was placed.
  Offer offer(const schema::NetworkResource& ask, Rng& rng) const;

  // The first address of the default network; empty when the node has none.
  std::string default_address() const;
  std::string default_device() const;

 private:
  struct Address {
    std::string ip, alias, device;
    std::vector<uint64_t> taken, exclusive, cooling;  // kPorts bits each
  };
  static bool bit(const std::vector<uint64_t>& bits, uint32_t port) { return bits[port / 64] >> (port % 64) & 1; }
  static void set(std::vector<uint64_t>& bits, uint32_t port) { bits[port / 64] |= uint64_t{1} << (port % 64); }

  void add_address(std::string ip, std::string alias, std::string device, const std::string& reserved);
  void hold_port(const std::string& ip, int64_t port, bool shared, bool cooling);
  void hold_all(const schema::AllocatedResources& resources, bool cooling);
  std::optional<uint32_t> dynamic_port(const Address& address, const std::vector<uint32_t>& drawn, Rng& rng) const;

  std::vector<Address> addresses_;
  uint32_t min_dynamic_ = 20000;
  uint32_t max_dynamic_ = 32000;
};

}  // namespace steppe::scheduler
