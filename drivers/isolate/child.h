#pragma once

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/isolate/plan.h"
#include "init/sys/kernel/raw.h"

// Runs a plan's steps. No libc, no allocation, no locks: it may run in a child that shares the executor's memory.
namespace steppe::isolate {

// Where and why a plan stopped; error 0: it did not.
struct Failure {
  uint32_t step = 0;   // index in its list
  uint16_t op = 0;
  int32_t error = 0;   // errno
};

// A plan mapped at `base`, checked by check_plan().
struct Mapped {
  char* base;
  const PlanHead* head;
  const char* text(uint32_t offset) const { return base + offset; }
};

// Bounds of every reference. Returns 0 or an errno. After it the steps are run without further checks.
int check_plan(char* base, size_t size, Mapped& out);

// Replaces the sender's descriptor numbers, the plan's `inherited`, by the receiver's, in the same order and number.
// False when the plan names one that is not among them.
bool renumber(const Mapped& plan, const int* received, uint32_t count);

// Runs `count` steps at `offset`. Stops at the first that fails.
Failure run_steps(const Mapped& plan, uint32_t offset, uint32_t count);

}  // namespace steppe::isolate
