#include <linux/filter.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "drivers/isolate/child.h"
#include "drivers/isolate/plan.h"

namespace {
using namespace steppe::isolate;

volatile uint64_t sink;

// The block in memory of its own size: a byte behind it is the sanitizer's.
struct Block {
  Block(const uint8_t* data, size_t size) : memory(new (std::align_val_t(16)) char[size]), size(size) { std::memcpy(memory, data, size); }
  ~Block() { ::operator delete[](memory, std::align_val_t(16)); }
  Block(const Block&) = delete;
  char* memory;
  size_t size;
};

void inside(const Block& block, uint64_t offset, uint64_t bytes) {
  if (offset > block.size || bytes > block.size - offset) std::abort();
  for (uint64_t i = 0; i < bytes; ++i) sink = sink + static_cast<unsigned char>(block.memory[offset + i]);
}
void text(const Block& block, uint64_t offset) {
  if (offset >= block.size) std::abort();
  sink = sink + std::strlen(block.memory + offset);
}
void list(const Block& block, uint32_t offset) {
  for (auto** one = reinterpret_cast<char**>(block.memory + offset);; ++one) {
    inside(block, static_cast<uint64_t>(reinterpret_cast<char*>(one) - block.memory), sizeof *one);
    if (*one == nullptr) return;
    text(block, static_cast<uint64_t>(*one - block.memory));
  }
}

// All that run_steps() and the executor would read of a plan that passed, and nothing is run.
void walk(const Block& block, const Mapped& plan) {
  const PlanHead& head = *plan.head;
  text(block, head.title);
  for (uint32_t name : head.log_name) text(block, name);
  inside(block, head.inherited, uint64_t{head.inherited_count} * sizeof(int32_t));
  for (auto [offset, count] : {std::pair(head.prelude, head.prelude_count), std::pair(head.steps, head.step_count)}) {
    if (count > kMaxSteps) std::abort();
    if (count != 0) inside(block, offset, uint64_t{count} * sizeof(Step));
    auto* steps = reinterpret_cast<const Step*>(plan.base + offset);
    for (uint32_t i = 0; i < count; ++i) {
      const Step& s = steps[i];
      for (uint32_t where : {s.text, s.text2, s.text3}) text(block, where);
      if (s.op > Op::kExec) std::abort();
      if (s.op == Op::kSeccomp) inside(block, s.b, s.a * sizeof(sock_filter));
      if (s.op == Op::kGroups && s.a != 0) inside(block, s.b, s.a * sizeof(uint32_t));
    }
  }
  if (head.standby != 0) return;
  for (uint32_t where : {head.argv, head.envp, head.candidates}) list(block, where);
}

void check(const uint8_t* data, size_t size) {
  Block block(data, size);
  Mapped plan;
  if (check_plan(block.memory, block.size, plan) != 0) return;
  if (plan.base != block.memory) std::abort();
  walk(block, plan);
  // Descriptors get other numbers, in the head and the steps alone.
  int received[kMaxInherited];
  for (uint32_t i = 0; i < kMaxInherited; ++i) received[i] = static_cast<int>(1000 + i);
  (void)renumber(plan, received, plan.head->inherited_count);
}
}  // namespace

// Any block, as it is and with a head that claims to be right: a plan that the check lets pass leads nowhere out of itself.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check(data, size);
  if (size < sizeof(PlanHead) || size > 1u << 16) return 0;
  std::unique_ptr<uint8_t[]> copy(new uint8_t[size]);
  std::memcpy(copy.get(), data, size);
  PlanHead head;
  std::memcpy(&head, data, sizeof head);
  head.magic = kPlanMagic;
  head.version = kPlanVersion;
  head.size = static_cast<uint32_t>(size);
  std::memcpy(copy.get(), &head, sizeof head);
  check(copy.get(), size);
  return 0;
}
