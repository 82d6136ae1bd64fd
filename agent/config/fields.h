#pragma once

#include <functional>
#include <limits>
#include <string_view>

#include "agent/config/agent_config.h"

namespace steppe::config {

inline constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

// The one list of all settings, walked by whoever reads, merges, shows or compares them. Each call names a key of the
// block that the walk stands in and the member that it fills.
class Fields {
 public:
  virtual ~Fields() = default;
  virtual void text(std::string_view key, std::string& value) = 0;
  virtual void flag(std::string_view key, bool& value) = 0;
  virtual void integer(std::string_view key, int64_t& value, int64_t least = 0, int64_t most = kMost) = 0;
  virtual void optional_integer(std::string_view key, std::optional<int64_t>& value, int64_t least, int64_t most) = 0;
  virtual void real(std::string_view key, double& value) = 0;
  virtual void duration(std::string_view key, Duration& value) = 0;
  enum class Lists : uint8_t { kReplace, kAppend };  // what a later file's list does
  virtual void texts(std::string_view key, TextList& value, Lists lists = Lists::kReplace) = 0;
  virtual void map(std::string_view key, TextMap& value) = 0;
  virtual void secret(std::string_view key, Secret& value) = 0;
  virtual void opaque(std::string_view key, drivers::ConfigMap& value) = 0;
  // Known, but nothing acts on it: an attribute or a block, whatever is in it.
  virtual void ignored(std::string_view key) = 0;
  // True while members are being filled, false while they are only looked at.
  virtual bool reading() const = 0;
  // The members of the block that follow are kept, but nothing acts on them yet: they count as ignored for the
  // warnings.
  virtual void not_acted_on() = 0;

  virtual void block(std::string_view key, const std::function<void(Fields&)>& inside) = 0;
  // Blocks with one label. `inside` gets the label and fills the entry of that name.
  virtual void named_blocks(std::string_view key, const std::vector<std::string>& present,
                            const std::function<void(Fields&, const std::string& label)>& inside) = 0;
};

void describe(Fields& fields, AgentConfig& config);
void describe_server(Fields& fields, Server& server);
void describe_client(Fields& fields, Client& client);
void describe_join(Fields& fields, ServerJoin& join);

// For keys that come in bulk.
void ignore_all(Fields& fields, std::initializer_list<std::string_view> keys);

template <class Entry>
std::vector<std::string> names_of(const std::map<std::string, Entry, std::less<>>& map) {
  std::vector<std::string> names;
  for (const auto& [name, entry] : map) names.push_back(name);
  return names;
}

}  // namespace steppe::config
