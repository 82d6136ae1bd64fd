// The start of a program without libc, and the four functions that compilers call on their own.
#include <stddef.h>

#include "drivers/executor/program/supervisor.h"
#include "drivers/executor/program/system.h"

#if defined(__x86_64__)
asm(".globl _start\n"
    "_start:\n"
    "  xorl %ebp, %ebp\n"
    "  movq %rsp, %rdi\n"
    "  andq $-16, %rsp\n"
    "  call steppe_executor_entry\n"
    "  hlt\n");
#else
asm(".globl _start\n"
    "_start:\n"
    "  mov x29, xzr\n"
    "  mov x0, sp\n"
    "  bl steppe_executor_entry\n"
    "  brk #0\n");
#endif

extern "C" {

// The kernel's initial stack: argc, argv[0..argc-1], 0, envp..., 0 (System V ABI, process initialization).
[[noreturn]] void steppe_executor_entry(long* stack) {
  auto** argv = reinterpret_cast<char**>(stack + 1);
  steppe::executor::sys_exit(steppe::executor::supervise(static_cast<int>(stack[0]), argv));
}

void* memcpy(void* to, const void* from, size_t size) {
  auto* out = static_cast<char*>(to);
  auto* in = static_cast<const char*>(from);
  for (size_t i = 0; i < size; ++i) out[i] = in[i];
  return to;
}

void* memmove(void* to, const void* from, size_t size) {
  auto* out = static_cast<char*>(to);
  auto* in = static_cast<const char*>(from);
  if (out < in) return memcpy(to, from, size);
  while (size-- > 0) out[size] = in[size];
  return to;
}

void* memset(void* to, int value, size_t size) {
  auto* out = static_cast<char*>(to);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(value);
  return to;
}

int memcmp(const void* a, const void* b, size_t size) {
  auto* x = static_cast<const unsigned char*>(a);
  auto* y = static_cast<const unsigned char*>(b);
  for (size_t i = 0; i < size; ++i) {
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  }
  return 0;
}

}  // extern "C"
