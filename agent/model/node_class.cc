#include "agent/model/node_class.h"

#include <cstdint>
#include <format>
#include <map>
#include <string_view>

#include "agent/schema/node.pb.h"

namespace steppe::model {
namespace {

// FNV-1a, 64 bits (Fowler, Noll, Vo), over fields that carry their lengths. Stored, so it never changes.
class Hash {
 public:
  void add(std::string_view text) {
    number(text.size());
    for (const char c : text) byte(static_cast<uint8_t>(c));
  }
  void number(uint64_t value) {
    for (int i = 0; i < 8; ++i) byte(static_cast<uint8_t>(value >> (8 * i)));
  }
  uint64_t value() const { return value_; }

 private:
  void byte(uint8_t byte) {
    value_ ^= byte;
    value_ *= 0x100000001B3u;
  }
  uint64_t value_ = 0xCBF29CE484222325u;
};

void add_map(Hash* hash, const google::protobuf::Map<std::string, std::string>& map) {
  std::map<std::string_view, std::string_view> sorted;
  for (const auto& [key, value] : map) {
    if (!key.starts_with("unique.")) sorted.emplace(key, value);
  }
  hash->number(sorted.size());
  for (const auto& [key, value] : sorted) {
    hash->add(key);
    hash->add(value);
  }
}

void add_attribute(Hash* hash, const schema::Attribute& attribute) {
  hash->add(attribute.has_float_value() ? std::format("f{}", attribute.float_value())
            : attribute.has_int_value() ? std::format("i{}", attribute.int_value())
            : attribute.has_bool_value() ? (attribute.bool_value() ? "true" : "false")
                                         : attribute.string_value());
  hash->add(attribute.unit());
}

// What any instance of the device offers; not which instances there are.
void add_device(Hash* hash, const schema::NodeDeviceResource& device) {
  hash->add(device.vendor());
  hash->add(device.type());
  hash->add(device.name());
  std::map<std::string_view, const schema::Attribute*> sorted;
  for (const auto& [key, attribute] : device.attributes()) {
    if (!key.starts_with("unique.")) sorted.emplace(key, &attribute);
  }
  hash->number(sorted.size());
  for (const auto& [key, attribute] : sorted) {
    hash->add(key);
    add_attribute(hash, *attribute);
  }
}

}  // namespace

std::string computed_class(const schema::Node& node) {
  Hash hash;
  hash.add(node.datacenter());
  hash.add(node.node_class());
  hash.add(node.node_pool());
  add_map(&hash, node.attributes());
  add_map(&hash, node.meta());
  const schema::NodeResources& resources = node.node_resources();
  hash.number(static_cast<uint64_t>(resources.cpu().cpu_shares()));
  hash.number(static_cast<uint64_t>(resources.cpu().reservable_cpu_cores_size()));
  hash.number(static_cast<uint64_t>(resources.memory().memory_mb()));
  hash.number(static_cast<uint64_t>(resources.disk().disk_mb()));
  hash.number(static_cast<uint64_t>(resources.node_networks_size()));
  for (const auto& network : resources.node_networks()) {
    hash.add(network.mode());
    hash.number(static_cast<uint64_t>(network.speed()));
  }
  hash.number(static_cast<uint64_t>(resources.devices_size()));
  for (const auto& device : resources.devices()) add_device(&hash, device);
  return std::format("v1:{}", hash.value());
}

}  // namespace steppe::model
