#include "agent/model/interpolate.h"

#include <format>

#include "agent/schema/node.pb.h"

namespace steppe::model {
namespace {

bool is_key_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

// The end of the token "${key}" that begins at `at`, or npos.
size_t token_end(std::string_view text, size_t at) {
  size_t end = at + 2;
  while (end < text.size() && is_key_byte(text[end])) ++end;
  if (end == at + 2 || end == text.size() || text[end] != '}') return std::string_view::npos;
  return end;
}

std::optional<std::string_view> find(const google::protobuf::Map<std::string, std::string>& map, std::string_view key) {
  const auto found = map.find(key);
  if (found == map.end()) return std::nullopt;
  return found->second;
}

}  // namespace

std::optional<std::string_view> resolve_target(const schema::Node& node, std::string_view target) {
  if (!target.starts_with("${")) return target;
  if (!target.ends_with('}')) return std::nullopt;
  const std::string_view key = target.substr(2, target.size() - 3);
  if (key.starts_with("attr.")) return find(node.attributes(), key.substr(5));
  if (key.starts_with("meta.")) return find(node.meta(), key.substr(5));
  if (key == "node.unique.id") return node.id();
  if (key == "node.unique.name") return node.name();
  if (key == "node.datacenter") return node.datacenter();
  if (key == "node.class") return node.node_class();
  if (key == "node.pool") return node.node_pool();
  return std::nullopt;
}

bool is_unique_target(std::string_view target) {
  return target.starts_with("${node.unique.") || target.starts_with("${attr.unique.") ||
         target.starts_with("${meta.unique.");
}

std::string replace_tokens(std::string_view text, const TokenLookup& lookup) {
  std::string out;
  size_t copied = 0;
  for (size_t at = text.find("${"); at != std::string_view::npos; at = text.find("${", at)) {
    const size_t end = token_end(text, at);
    if (end == std::string_view::npos) {
      at += 2;
      continue;
    }
    if (const auto value = lookup(text.substr(at + 2, end - at - 2))) {
      out.append(text.substr(copied, at - copied));
      out.append(*value);
      copied = end + 1;
    }
    at = end + 1;
  }
  out.append(text.substr(copied));
  return out;
}

bool has_tokens(std::string_view text) {
  for (size_t at = text.find("${"); at != std::string_view::npos; at = text.find("${", at + 2)) {
    if (token_end(text, at) != std::string_view::npos) return true;
  }
  return false;
}

std::string clean_env_name(std::string_view name) {
  std::string out(name);
  for (size_t i = 0; i < out.size(); ++i) {
    const char c = out[i];
    const bool digit = c >= '0' && c <= '9';
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (digit && i > 0) || c == '_' || c == '.';
    if (!kept) out[i] = '_';
  }
  return out;
}

std::string interpolate_service_name(std::string_view text, std::string_view job, std::string_view group,
                                     std::string_view task) {
  if (!has_tokens(text)) return std::string(text);
  const std::string_view place = task.empty() ? std::string_view("group") : task;
  return replace_tokens(text, [&](std::string_view key) -> std::optional<std::string> {
    if (key == "JOB") return std::string(job);
    if (key == "TASKGROUP") return std::string(group);
    if (key == "TASK") return std::string(place);
    if (key == "BASE") return std::format("{}-{}-{}", job, group, place);
    return std::nullopt;
  });
}

}  // namespace steppe::model
