#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/tree.h"
#include "agent/state/trie.h"

namespace steppe::state {

// Names as small numbers (datacenters, pools, computed classes), persistent like the trees under it. A name lives while
// it is in use; its number is then given to another.
class Dictionary {
 public:
  std::string_view name(uint32_t id) const {
    auto* entry = static_cast<const Entry*>(names_.get(id));
    return entry == nullptr ? std::string_view() : std::string_view(entry->name);
  }
  uint32_t limit() const { return limit_; }

  // Counts one more use of `name`.
  uint32_t use(Reclaimer& reclaimer, std::string_view name) {
    std::string key(name);
    const uint32_t* known = ids_.find(key);
    uint32_t id = known != nullptr ? *known : take_id();
    if (known == nullptr) {
      auto* entry = new Entry();
      entry->name = key;
      names_.set(reclaimer, id, entry);
      ids_.insert(reclaimer, key, id);
    }
    ++names_.edit<Entry>(reclaimer, id)->uses;
    return id;
  }
  void drop(Reclaimer& reclaimer, uint32_t id) {
    auto* entry = names_.edit<Entry>(reclaimer, id);
    if (--entry->uses > 0) return;
    ids_.erase(reclaimer, entry->name);
    names_.set(reclaimer, id, nullptr);
  }

  Tree<std::string, uint32_t>& ids() { return ids_; }
  Trie& names() { return names_; }

 private:
  struct Entry final : Counted {
    std::string name;
    uint32_t uses = 0;
  };
  // The lowest number that is free: the numbers in use stay dense without a list of holes beside the versions.
  uint32_t take_id() {
    for (uint32_t id = 0; id < limit_; ++id) {
      if (names_.get(id) == nullptr) return id;
    }
    return limit_++;
  }

  Tree<std::string, uint32_t> ids_;
  Trie names_;
  uint32_t limit_ = 0;
};

}  // namespace steppe::state
