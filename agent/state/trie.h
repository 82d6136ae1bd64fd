#pragma once

#include <array>
#include <cstdint>

#include "agent/state/counted.h"

namespace steppe::state {

// A persistent array of rows by dense ordinal: a radix trie of 32-way nodes. The same rules as Tree: a handle without
// destructor, share() in O(1), changes copy the nodes on their path when another version shares them.
class Trie {
  static constexpr uint32_t kBits = 5;
  static constexpr uint32_t kWays = 1u << kBits;

  struct Node final : Counted {
    std::array<Counted*, kWays> slots{};

   private:
    void drop(Reclaimer& reclaimer) override {
      for (Counted* slot : slots) reclaimer.release(slot);
    }
  };

 public:
  // Null where nothing was set.
  const Counted* get(uint32_t ordinal) const {
    if (levels_ == 0 || (levels_ * kBits < 32 && ordinal >> (levels_ * kBits) != 0)) return nullptr;
    const Counted* at = top_;
    for (uint32_t level = levels_; level-- > 0;) {
      if (at == nullptr) return nullptr;
      at = static_cast<const Node*>(at)->slots[(ordinal >> (level * kBits)) % kWays];
    }
    return at;
  }

  // Takes a reference to `row`; null empties the place.
  void set(Reclaimer& reclaimer, uint32_t ordinal, Counted* row) {
    Counted** slot = own_slot(reclaimer, ordinal);
    Reclaimer::retain(row);
    reclaimer.release(*slot);
    *slot = row;
  }

  // The row itself, made the writer's own by `copy` (called when another version shares it). For rows that are changed
  // in place.
  template <class T>
  T* edit(Reclaimer& reclaimer, uint32_t ordinal) {
    Counted** slot = own_slot(reclaimer, ordinal);
    if ((*slot)->shared()) {
      T* copy = Reclaimer::retain(new T(*static_cast<T*>(*slot)));
      reclaimer.release(*slot);
      *slot = copy;
    }
    return static_cast<T*>(*slot);
  }

  Trie share() const {
    Reclaimer::retain(top_);
    return *this;
  }
  void release(Reclaimer& reclaimer) {
    reclaimer.release(top_);
    top_ = nullptr;
    levels_ = 0;
  }

 private:
  Counted** own_slot(Reclaimer& reclaimer, uint32_t ordinal) {
    while (levels_ == 0 || (levels_ * kBits < 32 && ordinal >> (levels_ * kBits) != 0)) {
      auto* top = new Node();
      if (levels_ > 0) top->slots[0] = top_;
      top_ = Reclaimer::retain(top);
      ++levels_;
    }
    Node* node = own_node(reclaimer, &top_);
    for (uint32_t level = levels_ - 1; level > 0; --level) {
      Counted** slot = &node->slots[(ordinal >> (level * kBits)) % kWays];
      if (*slot == nullptr) *slot = Reclaimer::retain(new Node());
      node = own_node(reclaimer, slot);
    }
    return &node->slots[ordinal % kWays];
  }
  static Node* own_node(Reclaimer& reclaimer, Counted** slot) {
    auto* node = static_cast<Node*>(*slot);
    if (!node->shared()) return node;
    auto* copy = Reclaimer::retain(new Node(*node));
    for (Counted* child : copy->slots) Reclaimer::retain(child);
    reclaimer.release(node);
    *slot = copy;
    return copy;
  }

  Counted* top_ = nullptr;
  uint32_t levels_ = 0;
};

}  // namespace steppe::state
