#pragma once

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

// System calls without libc: no errno, no cancellation, no allocation. For code that runs between clone and exec and for
// programs without a C library. Each returns what the kernel returned: -errno on failure.
namespace steppe::kernel::raw {

#if defined(__x86_64__)
inline long syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
  return x0;
}
#else
#error "no system call sequence for this processor"
#endif

// struct clone_args of linux/sched.h, here so that no kernel header clashes with libc's.
struct CloneArgs {
  uint64_t flags = 0;
  uint64_t pidfd = 0;  // int*
  uint64_t child_tid = 0;
  uint64_t parent_tid = 0;
  uint64_t exit_signal = 0;
  uint64_t stack = 0;  // lowest byte
  uint64_t stack_size = 0;
  uint64_t tls = 0;
  uint64_t set_tid = 0;
  uint64_t set_tid_size = 0;
  uint64_t cgroup = 0;
};

// clone3 whose child runs `child(argument)` on the stack in `args` and exits with its result. With CLONE_VM|CLONE_VFORK
// the parent's memory is shared and the parent waits until the child has called execve or exited, which makes this the
// cheap way to spawn from a big process. Returns the child's pid, or -errno. The stack's end must be 16-byte aligned.
inline long clone3(CloneArgs* args, int (*child)(void*), void* argument) {
#if defined(__x86_64__)
  long result;
  register int (*function)(void*) asm("r12") = child;
  register void* parameter asm("r13") = argument;
  asm volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"
      "movq %%r13, %%rdi\n\t"
      "callq *%%r12\n\t"
      "movl %%eax, %%edi\n\t"
      "movl %[exit], %%eax\n\t"
      "syscall\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "0"(static_cast<long>(__NR_clone3)), "D"(args), "S"(sizeof *args), "r"(function), "r"(parameter),
        [exit] "i"(__NR_exit)
      : "rcx", "r11", "memory");
  return result;
#else
  register long x8 asm("x8") = __NR_clone3;
  register long x0 asm("x0") = reinterpret_cast<long>(args);
  register long x1 asm("x1") = sizeof *args;
  register int (*function)(void*) asm("x19") = child;
  register void* parameter asm("x20") = argument;
  asm volatile(
      "svc #0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "mov x0, x20\n\t"
      "blr x19\n\t"
      "mov x8, %[exit]\n\t"
      "svc #0\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(function), "r"(parameter), [exit] "i"(__NR_exit)
      : "memory", "cc", "x30");
  return x0;
#endif
}

inline long pointer(const void* p) { return reinterpret_cast<long>(p); }

}  // namespace steppe::kernel::raw
