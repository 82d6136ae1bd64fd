#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "init/base/assert.h"

namespace steppe::state {

class Reclaimer;

// A node or row that several versions of the state share. Its count is touched by the writer's thread only (readers
// hold a whole snapshot, never a single object), so it is a plain integer. An object with a count of one is reachable
// from the writer's version alone *if all objects above it are*: that is what makes changing in place safe.
class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) {}  // a copy starts unshared
  Counted& operator=(const Counted&) = delete;
  virtual ~Counted() = default;

  bool shared() const { return refs_ > 1; }

 private:
  friend class Reclaimer;
  // Releases what this object refers to. Runs once, before it is deleted.
  virtual void drop(Reclaimer&) {}
  uint32_t refs_ = 0;
};

// Takes and gives back references, and frees what nobody refers to in bounded steps: dropping a version of a million
// rows must not stop the loop for a second. Writer's thread only.
class Reclaimer {
 public:
  Reclaimer() = default;
  Reclaimer(const Reclaimer&) = delete;
  Reclaimer& operator=(const Reclaimer&) = delete;
  ~Reclaimer() { step(SIZE_MAX); }

  template <class T>
  static T* retain(T* object) {
    if (object != nullptr) ++static_cast<Counted*>(object)->refs_;
    return object;
  }
  void release(Counted* object) {
    if (object == nullptr) return;
    STEPPE_ASSERT(object->refs_ > 0);
    if (--object->refs_ == 0) dead_.push_back(object);
  }

  // Frees at most `limit` objects; returns how many are still known to be waiting (each may hold others).
  size_t step(size_t limit) {
    while (limit-- > 0 && !dead_.empty()) {
      Counted* object = dead_.back();
      dead_.pop_back();
      object->drop(*this);
      delete object;
    }
    return dead_.size();
  }
  size_t waiting() const { return dead_.size(); }

 private:
  std::vector<Counted*> dead_;
};

}  // namespace steppe::state
