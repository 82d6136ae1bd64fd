#include "agent/scheduler/device_ledger.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <format>

#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"

namespace steppe::scheduler {
namespace {

enum class Quantity : uint8_t { kNone, kBytes, kByteRate, kHertz, kWatt };

struct Unit {
  std::string_view name;
  Quantity quantity;
  double factor;
};

constexpr double kKibi = 1024.0;
// Longer names first where one is the tail of another ("MiB/s" before "MiB", "mW" and "MW" before "W").
constexpr std::array kUnits{
    Unit{"KiB/s", Quantity::kByteRate, kKibi},
    Unit{"MiB/s", Quantity::kByteRate, kKibi * kKibi},
    Unit{"GiB/s", Quantity::kByteRate, kKibi * kKibi * kKibi},
    Unit{"TiB/s", Quantity::kByteRate, kKibi * kKibi * kKibi * kKibi},
    Unit{"PiB/s", Quantity::kByteRate, kKibi * kKibi * kKibi * kKibi * kKibi},
    Unit{"EiB/s", Quantity::kByteRate, kKibi * kKibi * kKibi * kKibi * kKibi * kKibi},
    Unit{"kB/s", Quantity::kByteRate, 1e3},
    Unit{"KB/s", Quantity::kByteRate, 1e3},
    Unit{"MB/s", Quantity::kByteRate, 1e6},
    Unit{"GB/s", Quantity::kByteRate, 1e9},
    Unit{"TB/s", Quantity::kByteRate, 1e12},
    Unit{"PB/s", Quantity::kByteRate, 1e15},
    Unit{"EB/s", Quantity::kByteRate, 1e18},
    Unit{"KiB", Quantity::kBytes, kKibi},
    Unit{"MiB", Quantity::kBytes, kKibi * kKibi},
    Unit{"GiB", Quantity::kBytes, kKibi * kKibi * kKibi},
    Unit{"TiB", Quantity::kBytes, kKibi * kKibi * kKibi * kKibi},
    Unit{"PiB", Quantity::kBytes, kKibi * kKibi * kKibi * kKibi * kKibi},
    Unit{"EiB", Quantity::kBytes, kKibi * kKibi * kKibi * kKibi * kKibi * kKibi},
    Unit{"kB", Quantity::kBytes, 1e3},
    Unit{"KB", Quantity::kBytes, 1e3},
    Unit{"MB", Quantity::kBytes, 1e6},
    Unit{"GB", Quantity::kBytes, 1e9},
    Unit{"TB", Quantity::kBytes, 1e12},
    Unit{"PB", Quantity::kBytes, 1e15},
    Unit{"EB", Quantity::kBytes, 1e18},
    Unit{"MHz", Quantity::kHertz, 1e6},
    Unit{"GHz", Quantity::kHertz, 1e9},
    Unit{"mW", Quantity::kWatt, 1e-3},
    Unit{"KW", Quantity::kWatt, 1e3},
    Unit{"kW", Quantity::kWatt, 1e3},
    Unit{"MW", Quantity::kWatt, 1e6},
    Unit{"GW", Quantity::kWatt, 1e9},
    Unit{"W", Quantity::kWatt, 1.0},
};

const Unit* find_unit(std::string_view name) {
  const auto* it = std::ranges::find(kUnits, name, &Unit::name);
  return it == kUnits.end() ? nullptr : it;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

struct Number {
  double base = 0;  // in the base unit of its quantity
  Quantity quantity = Quantity::kNone;
};

std::optional<Number> number_of(const schema::Attribute& attribute) {
  Number out;
  if (attribute.has_int_value()) {
    out.base = static_cast<double>(attribute.int_value());
  } else if (attribute.has_float_value()) {
    out.base = attribute.float_value();
  } else {
    return std::nullopt;
  }
  if (const Unit* unit = find_unit(attribute.unit())) {
    out.base *= unit->factor;
    out.quantity = unit->quantity;
  } else if (!attribute.unit().empty()) {
    return std::nullopt;
  }
  return out;
}

std::string text_of(const schema::Attribute& attribute) {
  if (attribute.has_string_value()) return attribute.string_value();
  if (attribute.has_bool_value()) return attribute.bool_value() ? "true" : "false";
  if (attribute.has_int_value()) return std::format("{}{}", attribute.int_value(), attribute.unit());
  if (attribute.has_float_value()) return std::format("{}{}", attribute.float_value(), attribute.unit());
  return {};
}

// Less, equal or greater; nullopt when the two cannot be compared.
std::optional<int> compare(const schema::Attribute& left, const schema::Attribute& right) {
  if (left.has_bool_value() && right.has_bool_value()) return left.bool_value() == right.bool_value() ? 0 : 2;
  if (left.has_string_value() && right.has_string_value()) {
    const int order = left.string_value().compare(right.string_value());
    return order < 0 ? -1 : order > 0;
  }
  const auto a = number_of(left);
  const auto b = number_of(right);
  if (!a || !b || a->quantity != b->quantity) return std::nullopt;
  return a->base < b->base ? -1 : a->base > b->base;
}

// What a target of a device constraint is on a device group.
std::optional<schema::Attribute> resolve_device_target(std::string_view target, const schema::NodeDeviceResource& group) {
  if (!target.starts_with("${")) return parse_attribute(target);
  if (!target.ends_with("}")) return std::nullopt;
  const std::string_view key = target.substr(2, target.size() - 3);
  schema::Attribute out;
  if (key == "device.model") {
    out.set_string_value(group.name());
  } else if (key == "device.vendor") {
    out.set_string_value(group.vendor());
  } else if (key == "device.type") {
    out.set_string_value(group.type());
  } else if (key == "device.ids") {
    std::string ids;
    for (const auto& instance : group.instances()) ids += (ids.empty() ? "" : ",") + instance.id();
    out.set_string_value(ids);
  } else if (key.starts_with("device.attr.")) {
    const auto it = group.attributes().find(std::string(key.substr(12)));
    if (it == group.attributes().end()) return std::nullopt;
    return it->second;
  } else {
    return std::nullopt;
  }
  return out;
}

bool target_holds(model::ConstraintChecker& checker, std::string_view operand, std::string_view left,
                  std::string_view right, const schema::NodeDeviceResource& group) {
  return check_attribute(checker, operand, resolve_device_target(left, group), resolve_device_target(right, group));
}

uint64_t count_of(const schema::RequestedDevice& ask) { return ask.has_count() ? ask.count() : 1; }

}  // namespace

schema::Attribute parse_attribute(std::string_view text) {
  schema::Attribute out;
  if (text == "true" || text == "false") {
    out.set_bool_value(text == "true");
    return out;
  }
  std::string_view digits = text;
  std::string_view unit;
  for (const Unit& candidate : kUnits) {
    if (text.size() > candidate.name.size() && text.ends_with(candidate.name)) {
      digits = trim(text.substr(0, text.size() - candidate.name.size()));
      unit = candidate.name;
      break;
    }
  }
  const char* end = digits.data() + digits.size();
  int64_t whole = 0;
  if (auto [at, error] = std::from_chars(digits.data(), end, whole); error == std::errc{} && at == end) {
    out.set_int_value(whole);
    out.set_unit(std::string(unit));
    return out;
  }
  double fraction = 0;
  if (auto [at, error] = std::from_chars(digits.data(), end, fraction);
      error == std::errc{} && at == end && std::isfinite(fraction)) {
    out.set_float_value(fraction);
    out.set_unit(std::string(unit));
    return out;
  }
  out.set_string_value(std::string(text));
  return out;
}

bool check_attribute(model::ConstraintChecker& checker, std::string_view operand,
                     const std::optional<schema::Attribute>& left, const std::optional<schema::Attribute>& right) {
  if (operand == "is_set") return left.has_value();
  if (operand == "is_not_set") return !left.has_value();
  if (operand == "!=" || operand == "not") {
    if (!left && !right) return false;
    if (left.has_value() != right.has_value()) return true;
    const auto order = compare(*left, *right);
    return order && *order != 0;
  }
  if (!left || !right) return false;
  const bool ordered = operand == "<" || operand == "<=" || operand == ">" || operand == ">=";
  if (ordered || operand == "=" || operand == "==" || operand == "is" || operand.empty()) {
    const auto order = compare(*left, *right);
    if (!order) return false;
    if (!ordered) return *order == 0;
    if (*order == 2) return false;  // bools have no order
    if (operand == "<") return *order < 0;
    if (operand == "<=") return *order <= 0;
    return operand == ">" ? *order > 0 : *order >= 0;
  }
  const std::string left_text = text_of(*left);
  const std::string right_text = text_of(*right);
  return checker.check(operand, left_text, right_text);
}

bool device_id_matches(std::string_view requested, const schema::NodeDeviceResource& group) {
  const size_t first = requested.find('/');
  if (first == std::string_view::npos) return requested == group.type();
  if (requested.substr(0, first) != group.vendor()) return false;
  const std::string_view rest = requested.substr(first + 1);
  const size_t second = rest.find('/');
  if (second == std::string_view::npos) return rest == group.type();
  return rest.substr(0, second) == group.type() && rest.substr(second + 1) == group.name();
}

bool device_group_matches(model::ConstraintChecker& checker, const schema::RequestedDevice& ask,
                          const schema::NodeDeviceResource& group) {
  if (!device_id_matches(ask.name(), group)) return false;
  return std::ranges::all_of(ask.constraints(), [&](const schema::Constraint& constraint) {
    return target_holds(checker, constraint.operand(), constraint.l_target(), constraint.r_target(), group);
  });
}

bool node_has_devices(model::ConstraintChecker& checker, const std::vector<const schema::Task*>& tasks,
                      const schema::Node& node) {
  // Instances are handed out first fit; with overlapping requests that may refuse what a matching would allow, never the
  // reverse. A pick that fails later says so.
  std::vector<uint64_t> left;
  for (const auto& group : node.node_resources().devices()) {
    left.push_back(static_cast<uint64_t>(group.instances_size()));
  }
  for (const schema::Task* task : tasks) {
    for (const auto& ask : task->resources().devices()) {
      bool found = false;
      for (int i = 0; i < node.node_resources().devices_size() && !found; ++i) {
        if (left[static_cast<size_t>(i)] < count_of(ask)) continue;
        if (!device_group_matches(checker, ask, node.node_resources().devices(i))) continue;
        left[static_cast<size_t>(i)] -= count_of(ask);
        found = true;
      }
      if (!found) return false;
    }
  }
  return true;
}

DeviceLedger::DeviceLedger(const schema::Node& node) : node_(&node) {}

void DeviceLedger::hold(const schema::AllocatedResources& resources) {
  for (const auto& [name, task] : resources.tasks()) {
    for (const auto& device : task.devices()) {
      auto& ids = held_[{device.vendor(), device.type(), device.name()}];
      ids.insert(device.device_ids().begin(), device.device_ids().end());
    }
  }
}

void DeviceLedger::hold_pick(const Pick& pick) {
  for (const auto& device : pick.devices) {
    auto& ids = held_[{device.vendor(), device.type(), device.name()}];
    ids.insert(device.device_ids().begin(), device.device_ids().end());
  }
}

DeviceLedger::Pick DeviceLedger::pick(model::ConstraintChecker& checker, const schema::Task& task) const {
  Pick out;
  auto held = held_;
  for (const auto& ask : task.resources().devices()) {
    double total = 0;
    for (const auto& affinity : ask.affinities()) total += std::abs(static_cast<double>(affinity.weight()));
    const schema::NodeDeviceResource* chosen = nullptr;
    std::vector<std::string> chosen_ids;
    double chosen_weight = 0;
    bool matched = false;
    for (const auto& group : node_->node_resources().devices()) {
      if (!device_group_matches(checker, ask, group)) continue;
      matched = true;
      const auto& taken = held[{group.vendor(), group.type(), group.name()}];
      std::vector<std::string> ids;
      for (const auto& instance : group.instances()) {
        if (ids.size() == count_of(ask)) break;
        if (instance.healthy() && !taken.contains(instance.id())) ids.push_back(instance.id());
      }
      if (ids.size() < count_of(ask)) continue;
      double weight = 0;
      for (const auto& affinity : ask.affinities()) {
        if (target_holds(checker, affinity.operand(), affinity.l_target(), affinity.r_target(), group)) {
          weight += static_cast<double>(affinity.weight());
        }
      }
      if (chosen != nullptr && weight <= chosen_weight) continue;
      chosen = &group;
      chosen_ids = std::move(ids);
      chosen_weight = weight;
    }
    if (chosen == nullptr) {
      out.devices.clear();
      out.refusal = matched ? std::format("devices: {} in use or unhealthy", ask.name())
                            : std::string("devices: no devices match request");
      return out;
    }
    held[{chosen->vendor(), chosen->type(), chosen->name()}].insert(chosen_ids.begin(), chosen_ids.end());
    auto& device = out.devices.emplace_back();
    device.set_vendor(chosen->vendor());
    device.set_type(chosen->type());
    device.set_name(chosen->name());
    for (auto& id : chosen_ids) device.add_device_ids(std::move(id));
    out.matched_weight += chosen_weight;
    out.total_weight += total;
  }
  return out;
}

}  // namespace steppe::scheduler
